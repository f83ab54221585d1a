//! The servers of a benchmark: the origin and what stands before it, each its own process.

use super::load::LOADS;
use crate::command;
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running server; dropping it ends it.
#[derive(Debug)]
pub struct Server {
    process: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Starts it and waits until it takes connections. What it says goes to the file `log`.
    fn start(command: &mut Command, address: SocketAddr, log: &Path) -> Result<Self> {
        let said = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        let process = command.spawn().with_context(|| format!("cannot run {}", command::show(command)))?;
        let mut server = Self { process, address };
        for _ in 0..500 {
            if TcpStream::connect(address).is_ok() {
                return Ok(server);
            }
            if let Some(status) = server.process.try_wait()? {
                let said = fs::read_to_string(log).unwrap_or_default();
                bail!("{} ended with {status}: {}", command::show(command), said.trim());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("{} does not listen on {address}", command::show(command))
    }

    /// The origin, as [`origin`] has it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn origin(xtask: &Path, directory: &Path) -> Result<Self> {
        let (mut command, address) = origin(xtask, directory, "origin")?;
        Self::start(&mut command, address, &directory.join("origin.log"))
    }

    /// The service, as [`service`] has it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn service(upstream: SocketAddr, directory: &Path) -> Result<Self> {
        let (mut command, address) = service(upstream, directory, "service")?;
        Self::start(&mut command, address, &directory.join("service.log"))
    }

    /// The bare relay, before `upstream`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn relay(xtask: &Path, upstream: SocketAddr, directory: &Path) -> Result<Self> {
        let address = free_address()?;
        let mut relay = Command::new(xtask);
        relay.args(["bench", "relay", &address.to_string(), &upstream.to_string()]);
        Self::start(&mut relay, address, &directory.join("relay.log"))
    }

    /// HAProxy with one thread, passing TCP on to `upstream`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn haproxy(haproxy: &Path, upstream: SocketAddr, directory: &Path) -> Result<Self> {
        let address = free_address()?;
        let configuration = directory.join("haproxy.cfg");
        let text = format!(
            "global\n  nbthread 1\n  maxconn 4096\ndefaults\n  mode tcp\n  timeout connect 10s\n  \
             timeout client 1h\n  timeout server 1h\nlisten all\n  bind {address}\n  server origin {upstream}\n"
        );
        fs::write(&configuration, text)?;
        let mut haproxy = Command::new(haproxy);
        Self::start(haproxy.arg("-db").arg("-f").arg(configuration), address, &directory.join("haproxy.log"))
    }

    /// Of its only process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How to start nginx with one process and the files of all loads, without nginx a server of ours; and where it will
/// listen. What it needs and leaves has names that begin with `name`.
///
/// # Errors
/// When its files cannot be written.
pub fn origin(xtask: &Path, directory: &Path, name: &str) -> Result<(Command, SocketAddr)> {
    let files = directory.join("files");
    fs::create_dir_all(&files)?;
    for load in &LOADS {
        fs::write(files.join(load.size.to_string()), text(load.size))?;
    }
    let address = free_address()?;
    if command::find("nginx").is_none() {
        let mut own = Command::new(xtask);
        own.args(["bench", "origin", &address.to_string()]).arg(files);
        return Ok((own, address));
    }
    let site = format!("root \"{}\";", files.display());
    Ok((nginx(directory, name, address, "", &site)?, address))
}

/// How to start nginx as a service that asks `upstream` for each request, with a connection of its own for each that
/// is not kept, and where it will listen.
///
/// # Errors
/// When there is no nginx, or its files cannot be written.
pub fn service(upstream: SocketAddr, directory: &Path, name: &str) -> Result<(Command, SocketAddr)> {
    let address = free_address()?;
    let http =
        format!("upstream origin {{ server {upstream}; keepalive 64; keepalive_requests 1000000000; }}");
    let site = "location / {
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection $http_connection;
            proxy_buffers 32 64k;
            proxy_max_temp_file_size 0;
        }";
    Ok((nginx(directory, name, address, &http, site)?, address))
}

fn nginx(directory: &Path, name: &str, address: SocketAddr, http: &str, site: &str) -> Result<Command> {
    let nginx = command::find("nginx").context("there is no nginx here")?;
    let configuration = directory.join(format!("{name}.conf"));
    fs::write(&configuration, nginx_configuration(directory, name, address, http, site))?;
    let mut command = Command::new(nginx);
    command.arg("-p").arg(directory).arg("-c").arg(configuration);
    command.arg("-e").arg(directory.join(format!("{name}.error.log")));
    Ok(command)
}

/// One process, no master: it can simply be killed. All paths are inside `directory`, as anybody may run it.
fn nginx_configuration(directory: &Path, name: &str, address: SocketAddr, http: &str, site: &str) -> String {
    let directory = directory.display();
    let user = if command::is_root() { "user root;\n" } else { "" };
    format!(
        r#"{user}daemon off;
master_process off;
worker_processes 1;
pid "{directory}/{name}.pid";
events {{ worker_connections 4096; }}
http {{
    access_log off;
    default_type text/plain;
    client_body_temp_path "{directory}/t1";
    proxy_temp_path "{directory}/t2";
    fastcgi_temp_path "{directory}/t3";
    uwsgi_temp_path "{directory}/t4";
    scgi_temp_path "{directory}/t5";
    sendfile on;
    open_file_cache max=16;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    {http}
    server {{
        listen {address} backlog=4096;
        {site}
    }}
}}
"#
    )
}

/// Waits until connections are taken there, 5 s at most.
///
/// # Errors
/// When none is.
pub fn until_listening(address: SocketAddr) -> Result<()> {
    for _ in 0..500 {
        if TcpStream::connect(address).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    bail!("nothing listens on {address}")
}

/// An address of the loopback with a port that is free now.
///
/// # Errors
/// When there is none.
pub fn free_address() -> Result<SocketAddr> {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    Ok(probe.local_addr()?)
}

/// So many bytes as services answer: prose and JSON, some quotes, some letters that are not ASCII.
fn text(size: usize) -> String {
    let mut text = String::with_capacity(size + 200);
    for number in 0.. {
        if text.len() >= size {
            break;
        }
        let price = number * 37 % 1000;
        text.push_str(&format!("{{\"id\":{number},\"name\":\"Crème brûlée\",\"price\":{price}.50}}\n"));
        text.push_str(
            "It was the first order of the day, and nobody had expected it to come from so far away.\n",
        );
    }
    let end = (0..=size).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.truncate(end);
    text.extend(std::iter::repeat_n('.', size - end));
    text
}

/// A directory that is gone with the value.
#[derive(Debug)]
pub struct Scratch(pub PathBuf);

impl Scratch {
    /// Makes it, empty.
    ///
    /// # Errors
    /// When that cannot be done.
    pub fn new(path: PathBuf) -> Result<Self> {
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_the_size_asked_for() {
        for size in [0, 1, 20, 21, 22, 1 << 10, 1 << 20] {
            assert_eq!(text(size).len(), size);
        }
        assert!(text(1 << 10).contains('"') && !text(1 << 10).is_ascii());
    }
}
