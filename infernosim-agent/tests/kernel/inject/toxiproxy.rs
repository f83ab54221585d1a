use std::path::Path;
use std::process::Command;

use super::Session;
use crate::harness::{Daemon, INFERNOSIM, PYTHON};

/// toxiproxy-python from PyPI, which was written for toxiproxy; between it and Redis, us.
const CLIENT: &str = r#"
import socket, subprocess, sys, time
sys.path.insert(0, sys.argv[1])
from toxiproxy import Toxiproxy
from toxiproxy.api import APIConsumer
APIConsumer.port = int(sys.argv[2])
server = Toxiproxy()
assert server.running() and b"2." in server.version()
proxy = server.create(name="redis", upstream="127.0.0.1:" + sys.argv[3])
port = proxy.listen.rsplit(":", 1)[1]
def redis(*words):
    began = time.monotonic()
    ended = subprocess.run(["redis-cli", "-p", port, *words], capture_output=True, text=True, timeout=20)
    return ended.stdout.strip(), time.monotonic() - began
assert redis("SET", "k", "x" * 100_000)[0] == "OK"
proxy.add_toxic(type="latency", attributes={"latency": 400, "jitter": 0})
assert server.get_proxy("redis").get_toxic("latency_downstream").attributes["latency"] == 400
answer, took = redis("PING")
assert answer == "PONG" and took >= 0.4, (answer, took)
proxy.destroy_toxic("latency_downstream")
proxy.add_toxic(type="bandwidth", attributes={"rate": 100})
answer, took = redis("GET", "k")
assert len(answer) == 100_000 and took >= 0.9, (len(answer), took)
with proxy.down():
    try:
        socket.create_connection(("127.0.0.1", int(port)))
        raise SystemExit("it still listens")
    except ConnectionRefusedError:
        pass
server.reset()
assert server.get_proxy("redis").toxics() == {}
assert redis("PING")[0] == "PONG"
server.destroy_all()
print("DONE")
"#;

#[test]
fn a_client_of_toxiproxy_finds_what_it_knows() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().to_str().unwrap().to_owned();
    let redis = Daemon::start("redis-server", |port| {
        let port = port.to_string();
        ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--dir", &dir].map(str::to_owned).to_vec()
    });
    let packages = Path::new(INFERNOSIM).ancestors().nth(2).unwrap().join("third-party/python");
    assert!(packages.join("toxiproxy").exists(), "toxiproxy-python is missing: cargo xtask setup tests");
    let session = Session::start(&["--toxiproxy-api", ":0"], &[]);
    let ready = session.stderr.so_far();
    let api = ready.split("127.0.0.1:").nth(1).unwrap().split(',').next().unwrap().to_owned();
    let mut client = Command::new(PYTHON);
    client.args(["-c", CLIENT]).arg(&packages).args([&api, &redis.addr.port().to_string()]);
    let ended = client.output().unwrap();
    assert_eq!(super::out(&ended).trim(), "DONE", "{}", super::err(&ended));
    assert_eq!(session.end().0, 0);
}
