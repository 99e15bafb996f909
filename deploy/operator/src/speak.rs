//! Printing to standard output. Unlike `println!` this does not panic when the pipe is closed
//! (`cargo souk order | head`), so that the work is done and the exit code is right.

use std::fmt::Arguments;
use std::io::Write as _;

/// A line.
macro_rules! say {
    () => { $crate::speak::line(format_args!("")) };
    ($($text:tt)*) => { $crate::speak::line(format_args!($($text)*)) };
}

pub(crate) use say;

/// A line on standard output.
pub fn line(text: Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{text}"); // a pipe whose other end is closed
}

/// Several lines.
pub fn lines(lines: &[String]) {
    lines.iter().for_each(|text| line(format_args!("{text}")));
}
