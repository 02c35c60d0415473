//! Who may talk to whom: the rules between two releases, and between two
//! protocol versions.
//!
//! Releases: same major, the data plane's minor no newer than the control
//! plane's, patches do not matter (Kong's rules since 2.5). The protocol has
//! its own number so that a release can change it without ending old links.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The protocol versions this build speaks.
pub const PROTOCOL: ProtocolRange = ProtocolRange { oldest: 1, newest: 1 };

/// What this build can do beyond the bare protocol. A peer uses only what both list.
pub const CAPABILITIES: &[&str] = &[DELTA];

/// The peer takes deltas, not only whole configurations.
pub const DELTA: &str = "delta";

/// Protocol versions from `oldest` to `newest`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolRange {
    /// The oldest version still spoken.
    pub oldest: u16,
    /// The newest version spoken.
    pub newest: u16,
}

impl ProtocolRange {
    /// The newest version both ends speak.
    pub fn common(self, other: Self) -> Option<u16> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest && newest >= other.oldest).then_some(newest)
    }
}

/// A release's version as far as compatibility goes: `major.minor`; whatever follows is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    /// Must be equal.
    pub major: u32,
    /// The data plane's must not be newer.
    pub minor: u32,
}

/// The text does not begin with `major.minor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a version begins with major.minor")]
pub struct NotAVersion;

impl FromStr for Release {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let mut parts = text.split(['.', '-', '+']);
        let mut number = || parts.next().and_then(|part| part.parse().ok()).ok_or(NotAVersion);
        Ok(Self { major: number()?, minor: number()? })
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Two releases that must not be joined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("version mismatches, CP version: {control_plane} DP version: {data_plane}")]
pub struct Incompatible {
    /// The control plane's version, as it calls itself.
    pub control_plane: String,
    /// The data plane's.
    pub data_plane: String,
}

/// Whether a control plane may configure a data plane.
pub fn check(control_plane: &str, data_plane: &str) -> Result<(), Incompatible> {
    let compatible = match (control_plane.parse::<Release>(), data_plane.parse::<Release>()) {
        (Ok(cp), Ok(dp)) => cp.major == dp.major && dp.minor <= cp.minor,
        _ => false,
    };
    if compatible {
        return Ok(());
    }
    Err(Incompatible { control_plane: control_plane.to_owned(), data_plane: data_plane.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases() {
        for dp in
            ["2.5.0", "2.5.1", "2.5.2", "2.5.3", "2.3.8", "2.2.1", "2.2.0", "2.5", "2.5.0-rc.1"]
        {
            assert_eq!(check("2.5.2", dp), Ok(()), "{dp}");
        }
        for dp in ["1.0.0", "2.6.0", "3.0.0", "", "2", "two.five", "-1.5"] {
            assert!(check("2.5.2", dp).is_err(), "{dp}");
        }
        assert_eq!(
            check("2.2.0", "2.3.1").expect_err("is newer").to_string(),
            "version mismatches, CP version: 2.2.0 DP version: 2.3.1"
        );
    }

    #[test]
    fn protocols_meet_at_the_newest_common_version() {
        let range = |oldest, newest| ProtocolRange { oldest, newest };
        assert_eq!(range(1, 3).common(range(2, 5)), Some(3));
        assert_eq!(range(1, 3).common(range(1, 1)), Some(1));
        assert_eq!(range(1, 3).common(range(4, 5)), None);
        assert_eq!(range(4, 5).common(range(1, 3)), None);
    }
}
