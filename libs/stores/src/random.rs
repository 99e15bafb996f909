//! Random bytes from the system, for passwords and ports.

use crate::Result;
use crate::error::Doing;
use std::fs::File;
use std::io::Read;
use std::path::Path;

pub(crate) fn bytes<const N: usize>() -> Result<[u8; N]> {
    let device = Path::new("/dev/urandom");
    let mut bytes = [0; N];
    File::open(device).and_then(|mut file| file.read_exact(&mut bytes)).doing("read", device)?;
    Ok(bytes)
}

/// 192 bits in hexadecimal: needs no quoting in any configuration file.
pub(crate) fn password() -> Result<String> {
    Ok(bytes::<24>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}
