//! How many tests ran, as the runners themselves report it.

use anyhow::{Context, Result};
use std::ops::AddAssign;
use std::path::Path;

/// Tests that passed and failed; those that were filtered out are neither.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed, ran out of time, or could not be started.
    pub failed: u64,
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl Count {
    /// From the JUnit report that nextest writes (its summary for people may change its words).
    ///
    /// # Errors
    /// When the file is missing, as after a failed build, or is no report.
    pub fn from_junit(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("no report in {}", path.display()))?;
        Self::from_junit_text(&text).with_context(|| format!("{} is no report", path.display()))
    }

    fn from_junit_text(text: &str) -> Option<Self> {
        let (_, tag) = text.split_once("<testsuites ")?;
        let (tag, _) = tag.split_once('>')?;
        let attribute = |name: &str| {
            let (_, value) =
                tag.split_once(&format!(" {name}=\"")).or(tag.split_once(&format!("{name}=\"")))?;
            value.split('"').next()?.parse::<u64>().ok()
        };
        let failed = attribute("failures")? + attribute("errors")?;
        Some(Self { passed: attribute("tests")?.checked_sub(failed)?, failed })
    }

    /// From the closing lines of `cargo test` (one a test binary).
    pub fn from_cargo_test(output: &str) -> Self {
        let mut count = Self::default();
        for line in output.lines().filter_map(|line| line.strip_prefix("test result: ")) {
            let number = |word: &str| {
                let before = line.split(word).next()?.trim_end();
                before.rsplit(' ').next()?.parse::<u64>().ok()
            };
            count += Self {
                passed: number("passed;").unwrap_or_default(),
                failed: number("failed;").unwrap_or_default(),
            };
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn junit_failures_and_errors_are_failed() {
        let text = "<?xml version=\"1.0\"?>\n<testsuites name=\"nextest-run\" tests=\"12\" failures=\"2\" errors=\"1\" \
                    uuid=\"x\">\n <testsuite name=\"a\" tests=\"99\" failures=\"98\">";
        assert_eq!(Count::from_junit_text(text), Some(Count { passed: 9, failed: 3 }));
        assert_eq!(Count::from_junit_text("<testsuites tests=\"3\">"), None);
        assert_eq!(Count::from_junit_text("<html>"), None);
        assert!(Count::from_junit(Path::new("/nowhere.xml")).is_err());
    }

    #[test]
    fn cargo_test_prints_a_line_for_each_binary() {
        let text = "running 3 tests\ntest result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n\
                    test result: FAILED. 10 passed; 2 failed; 0 ignored\nnoise 5 passed; 5 failed\n";
        assert_eq!(Count::from_cargo_test(text), Count { passed: 13, failed: 2 });
    }
}
