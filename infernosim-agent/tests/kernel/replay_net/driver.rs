use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::{Arc, Mutex};

use infernosim::proxy::Listener;
use infernosim::redirect::{
    Action, Beating, Gate, OriginalDst, Redirect, Refused, ReplaySetting, Resolvers, Setting, Targets,
    Verdict, VerdictKey, Verdicts, destination, fate, own_addresses, socket_offsets, task_offsets,
};
use infernosim_common::{Fate, Flow};

use crate::harness::{Cgroup, Lab, Netns, program};

/// Where programs run: the client's namespace of a lab.
pub struct Field {
    pub lab: Lab,
    pub cgroup: Cgroup,
}

/// A replay: everything in the field's cgroup is its target.
pub struct Replay {
    pub field: Field,
    pub redirect: Redirect,
    pub verdicts: Verdicts,
    pub gate: Gate,
    pub targets: Targets,
    refused: Refused,
    asked: Arc<Mutex<Vec<Flow>>>,
    _listener: Arc<Listener>,
    _beating: Beating,
}

impl Field {
    pub fn new() -> Self {
        Self { lab: Lab::new(), cgroup: Cgroup::new() }
    }

    /// Nothing but loopback.
    pub fn alone() -> Self {
        let field = Self::new();
        field.lab.client.ip("link del cable");
        field
    }

    /// Something that runs in the cgroup, in this namespace.
    pub fn command(&self, netns: &Netns, words: &[&str]) -> Command {
        let mut all = self.cgroup.prefix();
        all.extend(netns.prefix());
        let mut command = Command::new(program(&all[0]));
        command.args(&all[1..]).args(words);
        for name in crate::harness::REMOVED {
            command.env_remove(name);
        }
        command
    }
}

impl Replay {
    pub fn start(field: Field, deny: bool) -> Self {
        Self::with(field, &Setting { replay: Some(ReplaySetting { deny }), ..Setting::default() })
    }

    /// With some of its setting chosen.
    pub fn with(field: Field, setting: &Setting) -> Self {
        let setting = Setting {
            connections: 1024,
            tasks: task_offsets().ok(),
            sockets: socket_offsets(),
            ..setting.clone()
        };
        let (mut redirect, kernel, targets) = Redirect::load(&setting).unwrap();
        redirect.exempt(std::process::id()).unwrap();
        let (listener, own) =
            field.lab.client.enter(|| (Listener::bind_for_replay().unwrap(), own_addresses()));
        kernel.namespaces.serve(listener.namespace, listener.ports(), &own).unwrap();
        redirect.attach(&File::open(field.cgroup.path()).unwrap()).unwrap();
        let _beating = kernel.heartbeat.start().unwrap();
        kernel.gate.open();
        let listener = Arc::new(listener);
        let asked = Arc::default();
        stand_in(&listener, Arc::new(kernel.original_dst));
        answer(&listener, &Arc::new(kernel.replay.resolvers), &asked);
        let verdicts = kernel.replay.verdicts;
        let (gate, refused) = (kernel.gate, kernel.refused);
        Self { field, redirect, verdicts, gate, targets, refused, asked, _listener: listener, _beating }
    }

    pub fn set(&self, address: &str, verdict: Verdict) {
        self.verdicts.set(VerdictKey::Address(address.parse().unwrap()), verdict).unwrap();
    }

    pub fn always(&self, address: &str, action: Action) {
        self.set(address, Verdict::always(action));
    }

    /// What a program says that runs in the client's namespace.
    pub fn run(&self, words: &[&str]) -> String {
        self.run_in(&self.field.lab.client, words)
    }

    pub fn run_in(&self, netns: &Netns, words: &[&str]) -> String {
        let output = self.field.command(netns, words).output().unwrap();
        let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        format!("{out}{error}").trim_end().to_owned()
    }

    pub fn python(&self, script: &str) -> String {
        self.run(&[crate::harness::PYTHON, "-c", script])
    }

    /// What the agent was told since it was last asked, in order: whom was connected to, and what became of it.
    pub fn told(&mut self) -> Vec<(String, Fate)> {
        let flows = std::iter::from_fn(|| self.refused.take());
        flows.map(|flow| (destination(&flow).to_string(), fate(&flow))).collect()
    }

    /// Which resolvers were asked, in order.
    pub fn asked(&self) -> Vec<Flow> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// How many packets were dropped, `udp=1 raw=2`.
    pub fn leaks(&self) -> String {
        let all: Vec<String> =
            self.redirect.leaks().into_iter().map(|(kind, count)| format!("{kind}={count}")).collect();
        all.join(" ")
    }
}

/// Answers every redirected connection with whom it was meant for.
fn stand_in(listener: &Listener, original: Arc<OriginalDst>) {
    let namespace = listener.namespace;
    for listening in [Some(&listener.v4), listener.v6.as_ref()].into_iter().flatten() {
        let listening: TcpListener = listening.try_clone().unwrap();
        listening.set_nonblocking(false).unwrap();
        let original = Arc::clone(&original);
        std::thread::spawn(move || {
            while let Ok((stream, from)) = listening.accept() {
                if let Some(flow) = original.take(namespace, from) {
                    std::thread::spawn(move || speak(stream, &flow));
                }
            }
        });
    }
}

fn speak(mut stream: TcpStream, flow: &Flow) {
    socket2::SockRef::from(&stream).set_linger(None).unwrap();
    if flow.port == 53 {
        while let Some(question) = question(&mut stream) {
            let answer = answered(&question);
            let _ = stream.write_all(&u16::try_from(answer.len()).unwrap().to_be_bytes());
            let _ = stream.write_all(&answer);
        }
        return;
    }
    let mut bytes = [0; 4096];
    if stream.read(&mut bytes).is_ok() {
        let body = destination(flow).to_string();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        let _ = stream.write_all((head + &body).as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read(&mut bytes);
    }
}

/// The next message on a connection (RFC 1035 section 4.2.2).
fn question(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut question = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut question).ok()?;
    Some(question)
}

/// Answers every lookup.
fn answer(listener: &Listener, resolvers: &Arc<Resolvers>, asked: &Arc<Mutex<Vec<Flow>>>) {
    let namespace = listener.namespace;
    let sockets = listener.replay.as_ref().unwrap();
    for socket in [Some(&sockets.dns_v4), sockets.dns_v6.as_ref()].into_iter().flatten() {
        let socket: UdpSocket = socket.try_clone().unwrap();
        socket.set_nonblocking(false).unwrap();
        let (resolvers, asked) = (Arc::clone(resolvers), Arc::clone(asked));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut bytes) {
                asked.lock().unwrap().push(resolvers.asked(namespace, from).unwrap_or_default());
                socket.send_to(&answered(&bytes[..length]), from).unwrap();
            }
        });
    }
}

/// An answer to a question with one name in it (RFC 1035 section 4): 10.9.9.9 or fd99::9.
fn answered(question: &[u8]) -> Vec<u8> {
    let name = question[12..].iter().position(|byte| *byte == 0).unwrap();
    let kind = question[12 + name + 2];
    let data: &[u8] = match kind {
        1 => &[10, 9, 9, 9],
        28 => &[0xfd, 0x99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9],
        _ => &[],
    };
    let count = u8::from(!data.is_empty());
    let mut answer = question[..2].to_vec();
    answer.extend([0x81, 0x80, 0, 1, 0, count, 0, 0, 0, 0]);
    answer.extend(&question[12..12 + name + 5]);
    if count > 0 {
        answer.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, u8::try_from(data.len()).unwrap()]);
        answer.extend(data);
    }
    answer
}

/// A server that must not be reached: how many came, and how many datagrams.
pub struct Real {
    tcp: TcpListener,
    udp: UdpSocket,
    pub address: SocketAddr,
}

impl Real {
    /// On both protocols of one port of the server's, at this address.
    pub fn at(netns: &Netns, address: &'static str) -> Self {
        netns.enter(move || {
            let address: std::net::IpAddr = address.parse().unwrap();
            let tcp = TcpListener::bind((address, 0)).unwrap();
            let address = tcp.local_addr().unwrap();
            tcp.set_nonblocking(true).unwrap();
            let udp = UdpSocket::bind(address).unwrap();
            udp.set_nonblocking(true).unwrap();
            Self { tcp, udp, address }
        })
    }

    /// Connections and datagrams that came since this was last asked.
    pub fn reached(&self) -> (usize, usize) {
        let connections = std::iter::from_fn(|| self.tcp.accept().ok()).count();
        let mut bytes = [0; 64];
        (connections, std::iter::from_fn(|| self.udp.recv(&mut bytes).ok()).count())
    }
}
