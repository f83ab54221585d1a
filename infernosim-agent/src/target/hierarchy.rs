//! stub
use std::path::PathBuf;
use crate::error::Result;
pub struct Hierarchy(PathBuf);
impl Hierarchy {
    pub fn root(&self) -> &std::path::Path { &self.0 }
    pub fn find() -> Result<Self> { Ok(Self("/sys/fs/cgroup/unified".into())) }
    pub fn of_process(&self, pid: u32) -> Result<PathBuf> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let path = text.lines().find_map(|l| l.strip_prefix("0::")).unwrap_or("/").to_owned();
        Ok(self.0.join(path.trim_start_matches('/')))
    }
    pub fn cgroup(&self, path: &str) -> Result<PathBuf> { Ok(self.0.join(path.trim_start_matches('/'))) }
    pub fn container(&self, path: &str) -> Result<PathBuf> { self.cgroup(path) }
    pub fn unit(&self, path: &str) -> Result<PathBuf> { self.cgroup(path) }
}
