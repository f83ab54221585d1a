//! What the kernel counts of a cgroup.

use std::fs;
use std::path::Path;

/// Counters of a cgroup, in ns and processes; what is not counted is not known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    pub cpu_ns: Option<u64>,
    /// For want of quota (`cpu.max`), of all its CPUs together.
    pub throttled_ns: Option<u64>,
    /// For CPU, memory, disk.
    pub waited_ns: [Option<u64>; 3],
    pub killed: Option<u64>,
}

impl Reading {
    /// Documentation/admin-guide/cgroup-v2.rst: cpu.stat, *.pressure, memory.events. What this kernel does not have, or this
    /// hierarchy does not count, is not known.
    pub fn of(cgroup: &Path) -> Self {
        let read = |file: &str| fs::read_to_string(cgroup.join(file)).ok();
        let waited = |file: &str| Some(1000 * pressure_us(&read(file)?)?);
        Self {
            cpu_ns: read("cpu.stat").and_then(|text| Some(1000 * value(&text, "usage_usec")?)),
            throttled_ns: read("cpu.stat").and_then(|text| Some(1000 * value(&text, "throttled_usec")?)),
            waited_ns: ["cpu.pressure", "memory.pressure", "io.pressure"].map(waited),
            killed: read("memory.events").and_then(|text| value(&text, "oom_kill")),
        }
    }
}

/// The value of a line `name value`.
pub fn value(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=1234` (Documentation/accounting/psi.rst).
fn pressure_us(text: &str) -> Option<u64> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    some.split(' ').find_map(|word| word.strip_prefix("total=")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_read() {
        let stat = "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n";
        assert_eq!(value(stat, "usage_usec"), Some(1500));
        assert_eq!(value(stat, "usage"), None);
        let text = "some avg10=1.53 avg60=0.87 avg300=0.12 total=157622151\nfull avg10=0.00 total=5\n";
        assert_eq!(pressure_us(text), Some(157_622_151));
        assert_eq!(pressure_us("full avg10=0.00 total=5\n"), None);
    }
}
