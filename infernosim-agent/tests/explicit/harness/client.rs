use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

use super::{REMOVED, Running, program};

/// A client program, to be run.
pub struct Client {
    command: Command,
    stdin: Vec<u8>,
}

/// What it said.
#[derive(Debug)]
pub struct Said {
    /// As a shell gives it.
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

/// curl, without the proxies of the environment.
pub fn curl(words: &[&str]) -> Said {
    Client::of("curl", &[&["-sS", "--max-time", "50"], words].concat()).run()
}

/// curl with a proxy.
pub fn curl_through(proxy: &Running, words: &[&str]) -> Said {
    let proxy = proxy.url("");
    curl(&[&["-x", &proxy], words].concat())
}

impl Client {
    pub fn of(name: &str, words: &[&str]) -> Self {
        let mut command = Command::new(program(name));
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for name in REMOVED {
            command.env_remove(name);
        }
        Self { command, stdin: Vec::new() }
    }

    /// With these variables as most programs read them; not for loopback's names, which some exempt.
    pub fn proxied(self, proxy: &Running) -> Self {
        let url = proxy.url("");
        let names = ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"];
        names.into_iter().fold(self, |client, name| client.environment(name, &url))
    }

    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn stdin(mut self, bytes: &[u8]) -> Self {
        self.stdin = bytes.to_vec();
        self
    }

    /// Runs it to its end.
    pub fn run(mut self) -> Said {
        let mut child = self.command.spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        let stdin = self.stdin;
        // It may end without having read it.
        let writer = std::thread::spawn(move || drop(pipe.write_all(&stdin)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        let code = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap());
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Said { code, stdout: output.stdout, stderr }
    }
}

impl Said {
    /// Its output as text; it must have ended with 0.
    pub fn text(&self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.stderr, String::from_utf8_lossy(&self.stdout));
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}
