//! argon2id into memory of our own. The library's takes new memory for each hash, and glibc 2.36, whose allocator this
//! was measured with, never gives out again what was freed of such large aligned pieces: 19 MiB more in use after
//! every sign-in (measured).

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::password_hash::{Error, try_generate_salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use secrecy::SecretString;

/// What OWASP recommends: 19 MiB, two passes, one lane. About 15 ms of a core.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// glibc maps pieces above 32 MiB for themselves, and unmaps them when they are freed. What is
/// never touched costs nothing.
const RESERVED_BLOCKS: usize = 33 * 1024;

/// Working memory: used by one hash after another, or given back to the system.
pub(crate) struct Memory(Vec<Block>);

impl Memory {
    pub(crate) fn new() -> Self {
        Self(Vec::with_capacity(RESERVED_BLOCKS))
    }

    /// The hash of a password, with a new salt and its parameters, as a PHC string.
    pub(crate) fn hash(&mut self, password: &[u8]) -> Result<SecretString, Error> {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(Params::DEFAULT_OUTPUT_LEN))?;
        let salt = Salt::new(&try_generate_salt()?)?;
        let hash = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&params)?,
            salt: Some(salt),
            hash: Some(self.output(params, password, &salt, Params::DEFAULT_OUTPUT_LEN)?),
        };
        Ok(hash.to_string().into())
    }

    /// Whether this password was hashed, by the parameters of the hash and not those of today.
    pub(crate) fn verify(&mut self, password: &[u8], hash: &str) -> Result<bool, Error> {
        let hash = PasswordHash::new(hash).map_err(|_| Error::EncodingInvalid)?;
        let (Some(salt), Some(expected)) = (&hash.salt, &hash.hash) else {
            return Err(Error::EncodingInvalid);
        };
        if hash.algorithm != Algorithm::Argon2id.ident() {
            return Err(Error::Algorithm);
        }
        if hash.version != Some(Version::V0x13.into()) {
            return Err(Error::Version);
        }
        let output = self.output(Params::try_from(&hash)?, password, salt, expected.len())?;
        Ok(output == *expected) // in constant time
    }

    fn output(
        &mut self,
        params: Params,
        password: &[u8],
        salt: &[u8],
        length: usize,
    ) -> Result<Output, Error> {
        self.0.resize(params.block_count(), Block::default());
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut output = [0; Output::MAX_LENGTH];
        let output = output.get_mut(..length).ok_or(Error::OutputSize)?;
        argon2.hash_password_into_with_memory(password, salt, output, &mut self.0[..])?;
        Output::new(output).map_err(|_| Error::OutputSize)
    }
}

#[cfg(test)]
mod tests {
    use argon2::PasswordVerifier as _;
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_hash_names_its_parameters_and_the_library_agrees_with_it() {
        let mut memory = Memory::new();
        let hash = memory.hash(b"correct horse").unwrap();
        assert!(hash.expose_secret().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        Argon2::default().verify_password(b"correct horse", hash.expose_secret()).unwrap();
        assert_ne!(memory.hash(b"correct horse").unwrap().expose_secret(), hash.expose_secret());
        assert_eq!(memory.verify(b"correct horse", hash.expose_secret()), Ok(true));
        assert_eq!(memory.verify(b"battery staple", hash.expose_secret()), Ok(false));
    }

    #[test]
    fn a_hash_verifies_by_its_own_parameters() {
        let params = Params::new(32, 1, 2, None).unwrap();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let hash: PasswordHash =
            argon2::PasswordHasher::hash_password(&argon2, b"correct horse").unwrap();
        assert_eq!(Memory::new().verify(b"correct horse", &hash.to_string()), Ok(true));
        for broken in [
            "",
            "plain",
            "$argon2id$v=19$m=32,t=1,p=1",
            "$argon2i$v=19$m=32,t=1,p=1$c2FsdHNhbHQ$aaaaaaaaaaaaaaaaaaaaaa",
        ] {
            assert!(Memory::new().verify(b"correct horse", broken).is_err(), "{broken}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_goes_back_to_the_system() {
        let resident_kib = || -> u64 {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        let before = resident_kib();
        for _ in 0..20 {
            Memory::new().hash(b"correct horse").unwrap();
        }
        let more = resident_kib().saturating_sub(before);
        assert!(more < 10 * 19_456, "{more} KiB more"); // others hash meanwhile
    }
}
