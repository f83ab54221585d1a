use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use super::harness::*;
use crate::replay::driver::Content;
use crate::replay::script::Request;
use crate::replay::seen::{End, Outcome};

/// A server that says its port on its first line.
pub struct Program {
    child: Child,
    port: u16,
}

impl Program {
    pub fn start(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        let mut child = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, port: line.trim().parse().unwrap() }
    }

    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    pub fn wait(&mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const PYTHON: &str = "import http.server
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_POST(self):
        if self.headers['transfer-encoding']:
            body = b''
            while (size := int(self.rfile.readline(), 16)):
                body += self.rfile.read(size); self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get('content-length') or 0))
        text = ' '.join([self.command, self.path, str(self.client_address[1]), body.decode()]).encode()
        self.send_response(200); self.send_header('Content-Length', str(len(text))); self.end_headers()
        if self.command != 'HEAD': self.wfile.write(text)
    do_GET = do_HEAD = do_POST
s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), H); print(s.server_port, flush=True); s.serve_forever()";

const NODE: &str = "require('http').createServer((q, r) => {
  let body = ''; q.on('data', d => body += d);
  q.on('end', () => r.end([q.method, q.url, q.socket.remotePort, body].join(' ')));
}).listen(0, '127.0.0.1', function () { console.log(this.address().port) })";

/// Programs that nobody here wrote understand what is sent, and their answers are understood.
#[test]
fn real_servers_are_spoken_to() {
    for (program, arguments) in [("python3", ["-c", PYTHON]), ("node", ["-e", NODE])] {
        let server = Program::start(program, &arguments);
        let requests = vec![
            get("/a?b=c"),
            post("/b", "by length", false),
            post("/c", "in chunks", true),
            Request { method: "HEAD".into(), ..get("/d") },
            get("/e"),
        ];
        let mut moments = in_turn(4);
        moments.push(moment(4, 5000, 5001));
        let (driven, told) = Setup::new(moments, requests).run(server.address());
        assert_eq!((driven.end, driven.sent, driven.reopened), (End::Completed, 5, 0), "{program}");
        let bodies: Vec<_> = told.answers.values().map(|copies| text(&copies[0])).collect();
        let port = told.sending[0].1.port();
        assert_eq!(bodies[0], format!("GET /a?b=c {port} "), "{program}");
        assert_eq!(bodies[1], format!("POST /b {port} by length"), "{program}");
        assert_eq!(bodies[2], format!("POST /c {port} in chunks"), "{program}");
        assert_eq!(bodies[3], "", "{program}");
        assert_eq!(bodies[4], format!("GET /e {} ", told.sending[4].1.port()), "{program}");
        assert_ne!(told.sending[4].1.port(), port);
        assert!(driven.answers.iter().all(|answer| answer.outcome == Outcome::Answered(200)), "{program}");
    }
}

fn text(answer: &Option<crate::replay::driver::LiveAnswer>) -> String {
    match &answer.as_ref().unwrap().body {
        Content::Whole(body) => String::from_utf8(body.to_vec()).unwrap(),
        Content::Digest(..) => "too long".into(),
    }
}
