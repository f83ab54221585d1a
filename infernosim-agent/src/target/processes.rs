//! stub
use std::path::Path;
pub fn with_descendants(roots: &[u32]) -> Vec<u32> {
    let mut all = roots.to_vec();
    let mut i = 0;
    while i < all.len() {
        let pid = all[i];
        for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            all.extend(text.split_whitespace().filter_map(|n| n.parse::<u32>().ok()));
        }
        i += 1;
    }
    all
}
pub fn in_cgroup(path: &Path) -> Vec<u32> {
    let text = std::fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|n| n.parse().ok()).collect()
}
pub fn exists(pid: u32) -> bool { Path::new(&format!("/proc/{pid}")).exists() }
pub fn in_initial_namespace() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self/ns/pid").is_ok_and(|it| it.ino() == 0xEFFF_FFFC)
}
pub fn command_line(pid: u32) -> Vec<String> {
    let text = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    text.split(|&b| b == 0).filter(|p| !p.is_empty()).map(|p| String::from_utf8_lossy(p).into_owned()).collect()
}
