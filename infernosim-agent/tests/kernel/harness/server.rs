use std::fs;
use std::net::SocketAddr;

use tempfile::TempDir;

use super::{Daemon, PYTHON, Place, programs};

/// How many paths `/n/NUMBER` a server knows.
pub const NUMBERS: usize = 500;

/// Servers as people run them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A master and two workers; files, sent with sendfile(2).
    Nginx,
    /// `python3 -m http.server`: HTTP/1.0, a connection for each request.
    Python,
    Node,
    /// A master and four workers, forked before the first request; no keep-alive.
    Gunicorn,
    /// A thread for each connection.
    Rust,
}

/// A server that answers `/n/NUMBER` with the number and a line end, whatever stands in the query.
pub struct Server {
    daemon: Daemon,
    pub addr: SocketAddr,
    /// Its files; `big` among them, of 3 MiB.
    pub root: TempDir,
}

const NODE: &str = r#"
const [host, port] = process.argv.slice(1);
require("http").createServer((request, response) => {
    request.resume().on("end", () => response.end(request.url.split("?")[0].split("/").pop() + "\n"));
}).listen(+port, host);
"#;

const WSGI: &str = r#"
def app(environ, start_response):
    body = (environ["PATH_INFO"].rpartition("/")[2] + "\n").encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"#;

impl Server {
    pub fn start(kind: Kind, place: &Place<'_>) -> Self {
        let root = TempDir::with_prefix("infernosim-test-").unwrap();
        fs::create_dir(root.path().join("n")).unwrap();
        for number in 0..NUMBERS {
            fs::write(root.path().join(format!("n/{number}")), format!("{number}\n")).unwrap();
        }
        fs::write(root.path().join("big"), big()).unwrap();
        let path = root.path().to_str().unwrap().to_owned();
        let daemon = match kind {
            Kind::Nginx => Daemon::at(place, "nginx", |addr| nginx(&path, addr)),
            Kind::Python => Daemon::at(place, PYTHON, |addr| {
                let (ip, port) = (addr.ip().to_string(), addr.port().to_string());
                ["-m", "http.server", "--bind", &ip, "--directory", &path, &port].map(str::to_owned).into()
            }),
            Kind::Node => Daemon::at(place, "node", |addr| {
                ["-e", NODE, &addr.ip().to_string(), &addr.port().to_string()].map(str::to_owned).into()
            }),
            Kind::Gunicorn => Daemon::at(place, "gunicorn", |addr| {
                fs::write(root.path().join("wsgi.py"), WSGI).unwrap();
                let bind = addr.to_string();
                ["--chdir", &path, "--workers", "4", "--bind", &bind, "wsgi:app"].map(str::to_owned).into()
            }),
            Kind::Rust => Daemon::at(place, "env", |addr| {
                programs::words("origin", &serde_json::json!({ "addr": addr }))
            }),
        };
        let addr = daemon.addr;
        Self { daemon, addr, root }
    }

    /// Its first process.
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// As an argument.
    pub fn pid_text(&self) -> String {
        self.pid().to_string()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }
}

/// What the file `big` holds: text in which no two stretches are alike.
pub fn big() -> Vec<u8> {
    (0..2_000_000_u32).flat_map(|number| format!("{number} ").into_bytes()).take(3 << 20).collect()
}

fn nginx(root: &str, addr: SocketAddr) -> Vec<String> {
    let config = format!(
        "daemon off; worker_processes 2; pid {root}/pid; error_log {root}/error; user root;
         events {{ worker_connections 500; }}
         http {{
             access_log {root}/access; sendfile on; client_max_body_size 0;
             client_body_temp_path {root}/a; proxy_temp_path {root}/b;
             fastcgi_temp_path {root}/c; uwsgi_temp_path {root}/d; scgi_temp_path {root}/e;
             server {{
                 listen {addr}; root {root};
                 location /return/ {{ return 200 \"$request_uri\\n\"; }}
                 location /proxy/ {{ proxy_pass http://{addr}/return/; }}
             }}
         }}"
    );
    let path = format!("{root}/nginx.conf");
    fs::write(&path, config).unwrap();
    ["-c", &path, "-e", &format!("{root}/error"), "-p", root].map(str::to_owned).to_vec()
}
