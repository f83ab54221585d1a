use std::path::Path;
use std::process::Command;

use super::{Session, err, out, redis};
use crate::harness::{INFERNOSIM, PYTHON, program};

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

/// toxiproxy-node-client from npm.
const NODE_CLIENT: &str = r#"
const { Toxiproxy } = require(process.argv[1]);
const net = require("node:net");
const assert = require("node:assert");
function ping(listen) {
  const [host, port] = listen.split(":"), began = performance.now();
  return new Promise((resolve) => {
    const stream = net.connect(Number(port), host, () => stream.write("PING\r\n"));
    stream.on("data", (data) => { stream.destroy(); resolve([data.toString(), performance.now() - began]); });
    stream.on("error", (error) => resolve([error.code]));
  });
}
(async () => {
  const server = new Toxiproxy(process.argv[2]);
  assert.match(await server.getVersion(), /"2\./);
  const made = { name: "redis", listen: "127.0.0.1:0", upstream: process.argv[3], enabled: true };
  const proxy = await server.createProxy(made);
  assert.equal((await ping(proxy.listen))[0], "+PONG\r\n");
  const attributes = { latency: 300, jitter: 0 };
  const toxic = await proxy.addToxic({ name: "late", type: "latency", stream: "downstream", toxicity: 1, attributes });
  assert.equal((await proxy.getToxic("late")).attributes.latency, 300);
  assert.ok((await ping(proxy.listen))[1] >= 300);
  await toxic.remove();
  const reset = { name: "reset", type: "reset_peer", stream: "downstream", toxicity: 1, attributes: { timeout: 0 } };
  await proxy.addToxic(reset);
  assert.equal((await ping(proxy.listen))[0], "ECONNRESET");
  const off = await proxy.update({ name: "redis", listen: proxy.listen, upstream: proxy.upstream, enabled: false });
  assert.equal(off.enabled, false);
  assert.equal((await ping(proxy.listen))[0], "ECONNREFUSED");
  await server.reset();
  assert.deepEqual(Object.keys(await server.getAll()), ["redis"]);
  assert.equal((await ping(proxy.listen))[0], "+PONG\r\n");
  await assert.rejects(proxy.addToxic({ name: "x", type: "none", stream: "downstream", toxicity: 1, attributes: {} }));
  await (await server.get("redis")).remove();
  console.log("DONE");
})();
"#;

/// What is in the target directory from other people's registries.
fn package(path: &str) -> std::path::PathBuf {
    let path = Path::new(INFERNOSIM).ancestors().nth(2).unwrap().join("third-party").join(path);
    assert!(path.exists(), "{} is missing: cargo xtask setup tests", path.display());
    path
}

/// Where the API is.
fn api(session: &Session) -> String {
    let ready = session.stderr.so_far();
    ready.split("127.0.0.1:").nth(1).unwrap().split(',').next().unwrap().to_owned()
}

#[test]
fn a_client_of_toxiproxy_finds_what_it_knows() {
    let place = tempfile::tempdir().unwrap();
    let redis = redis(place.path());
    let packages = package("python/toxiproxy").parent().unwrap().to_owned();
    let session = Session::start(&["--toxiproxy-api", ":0"], &[]);
    let mut client = Command::new(PYTHON);
    client.args(["-c", CLIENT]).arg(&packages).args([&api(&session), &redis.addr.port().to_string()]);
    let ended = client.output().unwrap();
    assert_eq!(out(&ended).trim(), "DONE", "{}", err(&ended));
    assert_eq!(session.end().0, 0);
}

#[test]
fn without_a_target_it_takes_no_privileges() {
    let place = tempfile::tempdir().unwrap();
    let redis = redis(place.path());
    let mut inject = Command::new(program("setpriv"));
    inject.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--inh-caps=-all", INFERNOSIM]);
    inject.args(["inject", "--toxiproxy-api", ":0"]).current_dir("/");
    let session = Session::of(inject);
    let mut client = Command::new(program("node"));
    client.args(["-e", NODE_CLIENT]).arg(package("node/node_modules/toxiproxy-node-client"));
    client.args([format!("http://127.0.0.1:{}", api(&session)), redis.addr.to_string()]);
    let ended = client.output().unwrap();
    assert_eq!(out(&ended).trim(), "DONE", "{}", err(&ended));
    assert_eq!(session.end().0, 0);
}
