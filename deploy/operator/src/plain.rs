//! For tests: whoever runs them on a terminal sees colours.

/// The text without colours.
pub fn bare(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = |part: &str| match part.split_once('m') {
        Some((code, rest)) if code.bytes().all(|byte| byte.is_ascii_digit()) => rest.to_owned(),
        _ => format!("\u{1b}[{part}"),
    };
    first + &parts.map(rest).collect::<String>()
}
