//! The vaults of this node: environment variables, the only kind there is so far.
//!
//! A node looks its secrets up in its own environment, whenever it reads its settings. A command that
//! does so on behalf of a node that runs looks into the node's, not into that of its own shell.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::{env, fmt, fs, io};

use model::vault::{Reference, VaultError, Vaults};
use rustix::process::Pid;

/// The one type of vault.
pub const ENV: &str = "env";

/// The environment of a process, as it was when that started. Its values are never shown.
#[derive(Clone, Default)]
pub struct Environment(HashMap<OsString, OsString>);

impl Environment {
    /// That of this process.
    pub fn here() -> Self {
        Self(env::vars_os().collect())
    }

    /// That of another process, if this one may know.
    pub fn of(pid: Pid) -> io::Result<Self> {
        let text = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero()))?;
        let entries = text.split(|byte| *byte == 0);
        let variable = |entry: &[u8]| {
            let at = entry.iter().position(|byte| *byte == b'=')?;
            let (name, value) = entry.split_at_checked(at)?;
            let value = value.get(1..).unwrap_or_default();
            Some((OsString::from_vec(name.to_vec()), OsStr::from_bytes(value).to_owned()))
        };
        Ok(Self(entries.filter_map(variable).collect()))
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Environment({} variables)", self.0.len())
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(variables: [(&str, &str); N]) -> Self {
        Self(variables.map(|(name, value)| (name.into(), value.into())).into())
    }
}

/// The vaults that are switched on (`vaults`), as they are configured (`vault_env_prefix`).
#[derive(Debug)]
pub struct NodeVaults<'a> {
    /// Where secrets are looked up.
    pub environment: &'a Environment,
    /// What the names of variables begin with.
    pub prefix: &'a str,
    /// Whether any may be.
    pub is_on: bool,
}

impl Vaults for NodeVaults<'_> {
    fn fetch(&self, reference: &Reference) -> Result<String, VaultError> {
        if !self.is_on {
            return Err(VaultError::SwitchedOff);
        }
        if reference.vault != ENV {
            return Err(VaultError::NoSuchVault(reference.vault.clone()));
        }
        let name = reference.variable(self.prefix);
        match self.environment.0.get(OsStr::new(&name)).map(|value| value.to_str()) {
            None => Err(VaultError::NotSet(name)),
            Some(None) => Err(VaultError::NotText(name)),
            Some(Some(value)) => Ok(value.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::getpid;

    use super::*;

    #[test]
    fn the_environment_of_a_process_is_found_from_outside() {
        let (seen, here) = (Environment::of(getpid()).unwrap(), Environment::here());
        assert!(!here.0.is_empty());
        for (name, value) in &here.0 {
            assert!(seen.0.get(name) == Some(value), "{name:?}");
        }
        let path = here.0[OsStr::new("PATH")].to_str().unwrap();
        assert!(!format!("{here:?}").contains(path), "values are not shown");
    }
}
