use std::net::TcpListener;
use std::os::fd::AsRawFd as _;

use nix::errno::Errno;
use nix::libc;

use crate::error::{Exit, ExpectedError, Result};

/// The cookie of the network namespace in which `listener` was made, as `bpf_get_netns_cookie` gives it
/// (SO_NETNS_COOKIE, Linux 5.14).
pub fn namespace_cookie(listener: &TcpListener) -> Result<u64> {
    let mut cookie = 0_u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `cookie`, both of which live here.
    let result = unsafe {
        libc::getsockopt(
            listener.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    Errno::result(result).map_err(|error| {
        ExpectedError::new(
            Exit::Host,
            format!("this kernel does not tell network namespaces apart (SO_NETNS_COOKIE: {error})"),
        )
        .help("Linux 5.14 or later is needed")
    })?;
    Ok(cookie)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sockets_of_one_namespace_have_one_cookie() {
        let [a, b] = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let cookie = namespace_cookie(&a).unwrap();
        assert_eq!(cookie, namespace_cookie(&b).unwrap());
        assert_ne!(cookie, 0);
    }
}
