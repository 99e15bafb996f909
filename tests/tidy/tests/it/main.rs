//! The design's rules, applied to this repository.

use std::path::Path;
use std::sync::LazyLock;

use tidy::{
    Complaints, Tree, bus, circles, containers, contracts, dependencies, documents, domain, errors,
    failpoints, habits, migrations, readme, redis, skeleton, sql, unused,
};

static TREE: LazyLock<Tree> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    Tree::read(&root).expect("the repository can be read")
});

fn holds(rule: impl Fn(&Tree) -> Complaints) {
    let complaints = rule(&TREE);
    assert!(complaints.is_empty(), "\n  {}\n", complaints.join("\n  "));
}

#[test]
fn the_tree_is_the_repository() {
    assert!(TREE.file("Cargo.toml").is_some_and(|file| file.text.contains("[workspace]")));
    assert!(TREE.sources().len() > 100 && TREE.folders("services").len() >= 5);
}

#[test]
fn dependencies_point_down() {
    holds(dependencies::point_down);
}

#[test]
fn manifests_are_alike() {
    holds(dependencies::manifests_are_alike);
}

#[test]
fn every_dependency_is_used() {
    holds(unused::every_dependency_is_used);
}

#[test]
fn every_version_is_used() {
    holds(unused::every_version_is_used);
}

#[test]
fn the_first_step_is_small() {
    holds(dependencies::the_first_step_is_small);
}

#[test]
fn services_have_the_same_files() {
    holds(skeleton::services_are_alike);
}

#[test]
fn services_read_alike() {
    holds(skeleton::services_read_alike);
}

#[test]
fn contexts_have_contracts() {
    holds(skeleton::contexts_have_contracts);
}

#[test]
fn services_are_deployed() {
    holds(skeleton::services_are_deployed);
}

#[test]
fn every_service_has_containers() {
    holds(containers::every_service_has_containers);
}

#[test]
fn no_two_files_import_each_other() {
    holds(circles::no_two_files_import_each_other);
}

#[test]
fn rights_are_what_services_listen_to() {
    holds(bus::rights_are_what_services_listen_to);
}

#[test]
fn rights_are_what_scripts_call() {
    holds(redis::rights_are_what_scripts_call);
}

#[test]
fn images_have_versions() {
    holds(containers::images_have_versions);
}

#[test]
fn no_secret_is_written_down() {
    holds(containers::no_secret_is_written_down);
}

#[test]
fn crash_points_stay_in_tests() {
    holds(failpoints::stay_in_tests);
}

#[test]
fn migrations_say_why() {
    holds(skeleton::migrations_say_why);
}

#[test]
fn migrations_expand() {
    holds(migrations::expand);
}

#[test]
fn migrations_that_were_released_are_unchanged() {
    holds(migrations::are_unchanged);
}

#[test]
fn the_domain_is_pure() {
    holds(domain::is_pure);
}

#[test]
fn the_protocol_stays_at_the_doors() {
    holds(domain::protocol_stays_at_the_doors);
}

#[test]
fn sql_is_in_the_store() {
    holds(sql::is_in_the_store);
}

#[test]
fn sql_is_in_lower_case() {
    holds(sql::is_in_lower_case);
}

#[test]
fn transactions_begin_in_use_cases() {
    holds(sql::transactions_begin_in_use_cases);
}

#[test]
fn errors_are_mapped_one_by_one() {
    holds(errors::are_mapped_one_by_one);
}

#[test]
fn events_are_impersonal() {
    holds(contracts::events_are_impersonal);
}

#[test]
fn events_are_facts() {
    holds(contracts::events_are_facts);
}

#[test]
fn rpcs_are_explained() {
    holds(contracts::rpcs_are_explained);
}

#[test]
fn nothing_is_unfinished() {
    holds(habits::nothing_is_unfinished);
}

#[test]
fn tests_wait_for_conditions() {
    holds(habits::tests_wait_for_conditions);
}

#[test]
fn files_are_short() {
    holds(habits::files_are_short);
}

#[test]
fn links_lead_somewhere() {
    holds(documents::links_lead_somewhere);
}

#[test]
fn code_that_documents_name_exists() {
    holds(documents::code_that_is_named_exists);
}

#[test]
fn glossary_is_in_order_and_linked() {
    holds(documents::glossary_is_in_order_and_linked);
}

#[test]
fn promises_have_their_tests() {
    holds(documents::promised_tests_exist);
}

#[test]
fn decisions_are_short() {
    holds(documents::decisions_are_short);
}

#[test]
fn shell_blocks_of_the_readme_can_be_run() {
    holds(readme::blocks_can_be_run);
}

#[test]
fn verbs_that_documents_name_exist() {
    holds(readme::verbs_exist);
}

#[test]
fn no_figure_is_left_to_fill_in() {
    holds(readme::nothing_is_left_to_fill_in);
}

/// Mistakes that a test is shown to find: they are put in by hand, and have to go on fitting.
#[test]
fn planted_mistakes_apply() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let planted = TREE.files().filter(|file| file.path.contains("/planted/"));
    let patches: Vec<&str> =
        planted.map(|file| &*file.path).filter(|path| path.ends_with(".patch")).collect();
    assert!(patches.len() > 3, "{patches:?}");
    for patch in patches {
        let mut git = std::process::Command::new("git");
        let checked = git.current_dir(&root).args(["apply", "--check", patch]).status();
        assert!(checked.unwrap().success(), "{patch} does not apply any more");
    }
}
