//! Versions of engines and tables of what differs between them, one row per release that changed something. The facts are
//! each engine's own and stand in `assets/engines/`, so that a new release is a row there.

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A release number; development suffixes are dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// Reads `0.11.0`, `0.18.1rc1.dev93+g1234` or `v0.9`; `None` where there are not two numbers. Builds from source that
    /// carry no release number (`0.1.dev18496`) are taken as newer than every row.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches('v');
        if text.starts_with("0.1.dev") {
            return Some(Self(u32::MAX, 0, 0));
        }
        let mut parts = text.split('.').map(|part| {
            let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<u32>().ok()
        });
        let major = parts.next()??;
        let minor = parts.next()??;
        Some(Self(major, minor, parts.next().flatten().unwrap_or(0)))
    }
}

/// A row that holds from a version on.
pub trait Row {
    /// The first version.
    fn from(&self) -> &str;
}

/// The row of a version among rows from the oldest on: the newest that is not after it.
pub fn row<R: Row>(rows: &[R], version: Version) -> Option<&R> {
    rows.iter()
        .rev()
        .find(|row| Version::parse(row.from()).is_some_and(|from| from <= version))
}

/// The file of an engine.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Releases<R> {
    /// What changed in the file, by date.
    pub changelog: Vec<String>,
    /// The rows, the oldest first.
    pub releases: Vec<R>,
}

impl<R: Row + DeserializeOwned> Releases<R> {
    /// From the file's text; without rows where it cannot be read, which a test of each engine excludes.
    pub fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or(Self {
            changelog: Vec::new(),
            releases: Vec::new(),
        })
    }

    /// The row of a version.
    pub fn at(&self, version: Version) -> Option<&R> {
        row(&self.releases, version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_with_their_suffixes() {
        assert_eq!(
            Version::parse("0.18.1rc1.dev93+gb73b5b062"),
            Some(Version(0, 18, 1))
        );
        assert_eq!(Version::parse("v0.9"), Some(Version(0, 9, 0)));
        assert_eq!(Version::parse("0.6.4.post1"), Some(Version(0, 6, 4)));
        assert_eq!(Version::parse("dev"), None);
        assert!(Version::parse("0.1.dev18496+gd4e0675a7") > Version::parse("0.33.0"));
    }
}
