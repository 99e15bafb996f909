use load::scenario::{Route, Scenario};
use load::slo::DEFAULTS;
use souk::cli::{self, Slo};

const SCRIPT: &str = include_str!("../../k6/mix.js");

#[test]
fn the_script_for_k6_has_the_same_mix_and_the_same_levels() {
    let mix = Scenario::named(cli::Scenario::Mix);
    let line = SCRIPT.lines().find(|line| line.starts_with("const WEIGHTS")).unwrap();
    for (route, weight) in Route::ALL.into_iter().zip(mix.weights.all()) {
        let entry = format!("{}: {weight}", route.name());
        assert!(line.contains(&entry), "{entry} is not in: {line}");
    }
    assert!(SCRIPT.contains(&format!("__ENV.ZIPF || {:.1}", mix.zipf)));
    assert!(SCRIPT.contains(&format!("__ENV.PRODUCTS || {}", mix.products)));
    for level in DEFAULTS {
        let told = match level {
            Slo::Errors(percent) => format!("rate<{}", percent / 100.0),
            Slo::Latency { class: Some(cli::Class::Settled), .. } => continue, // k6 sees no ends
            Slo::Latency { class, percentile, limit } => {
                let class = class.unwrap().name();
                format!("class:{class}}}': ['p({percentile})<{}']", limit.as_millis())
            }
        };
        assert!(SCRIPT.contains(&told), "{told}");
    }
}
