use std::fs::File;

use aya::Btf;
use aya::programs::{CgroupAttachMode, CgroupSkb, CgroupSock, CgroupSockAddr, SockOps};

use super::Redirect;
use super::load::{broken_object, program_refused};
use crate::error::{ExpectedError, Result};

/// The kernel half's programs, in the order they are attached: what answers for a redirected socket stands
/// before the first socket is redirected.
const SOCKET_ADDRESS: [&str; 4] = ["on_getpeername4", "on_getpeername6", "on_connect4", "on_connect6"];

impl Redirect {
    /// Attaches every program to `cgroup`, as links that end with this process.
    pub fn attach(&mut self, cgroup: &File) -> Result<()> {
        // Links are always shared with other owners' programs (cgroup_bpf_link_attach implies ALLOW_MULTI).
        let mode = CgroupAttachMode::Single;
        let refused = |name: &str| {
            let what = format!("attach {name} to the cgroup");
            move |error| program_refused(&what, &error)
        };
        self.program::<SockOps>("on_sockops")?.attach(cgroup, mode).map_err(refused("on_sockops"))?;
        self.program::<CgroupSock>("on_sock_release")?
            .attach(cgroup, mode)
            .map_err(refused("on_sock_release"))?;
        self.program::<CgroupSkb>("on_egress")?
            .attach(cgroup, aya::programs::CgroupSkbAttachType::Egress, mode)
            .map_err(refused("on_egress"))?;
        for name in SOCKET_ADDRESS {
            self.program::<CgroupSockAddr>(name)?.attach(cgroup, mode).map_err(refused(name))?;
        }
        Ok(())
    }

    pub(super) fn load_programs(&mut self) -> Result<()> {
        // BTF is optional here: these programs use no kernel types.
        let _ = Btf::from_sys_fs();
        let refused = |name: &str| {
            let what = format!("load {name}");
            move |error| program_refused(&what, &error)
        };
        self.program::<SockOps>("on_sockops")?.load().map_err(refused("on_sockops"))?;
        self.program::<CgroupSock>("on_sock_release")?.load().map_err(refused("on_sock_release"))?;
        self.program::<CgroupSkb>("on_egress")?.load().map_err(refused("on_egress"))?;
        for name in SOCKET_ADDRESS {
            self.program::<CgroupSockAddr>(name)?.load().map_err(refused(name))?;
        }
        Ok(())
    }

    fn program<'a, P>(&'a mut self, name: &str) -> Result<&'a mut P>
    where
        &'a mut P: TryFrom<&'a mut aya::programs::Program>,
    {
        let missing = || -> ExpectedError { broken_object(format_args!("it has no program {name}")) };
        self.ebpf.program_mut(name).ok_or_else(missing)?.try_into().map_err(|_| missing())
    }
}
