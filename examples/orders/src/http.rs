//! As much of HTTP/1.1 (RFC 9112) as two programs of one's own need: keep-alive, Content-Length, no chunks.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

/// The largest body that is read, in bytes.
const LARGEST_BODY: usize = 1 << 20;

/// A request or a response.
#[derive(Debug)]
pub struct Message {
    /// `GET /x HTTP/1.1` or `HTTP/1.1 200 OK`.
    pub start: String,
    /// The body; text, since both sides speak JSON.
    pub body: String,
    /// Whether the sender will close the connection after this message.
    closes: bool,
}

/// What a server answers: a status and a JSON text.
pub type Answer = (u16, String);

/// Reads the next message; `None` where the other side has closed the connection between two.
fn read(from: &mut impl BufRead) -> io::Result<Option<Message>> {
    let mut line = |what: &mut String| {
        what.clear();
        let length = from.read_line(what)?;
        what.truncate(what.trim_end().len());
        Ok::<usize, io::Error>(length)
    };
    let (mut start, mut field) = (String::new(), String::new());
    if line(&mut start)? == 0 {
        return Ok(None);
    }
    let (mut length, mut closes) = (0, false);
    while line(&mut field)? > 0 && !field.is_empty() {
        let (name, value) = field.split_once(':').ok_or_else(|| bad("a header without a colon"))?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().map_err(|_| bad("a Content-Length that is no number"))?;
        } else if name.eq_ignore_ascii_case("connection") {
            closes = value.eq_ignore_ascii_case("close");
        }
    }
    if length > LARGEST_BODY {
        return Err(bad("a body of more than 1 MiB"));
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    let body = String::from_utf8(body).map_err(|_| bad("a body that is not UTF-8"))?;
    Ok(Some(Message { start, body, closes }))
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the other side sent {what}"))
}

/// A connection to a server, kept open from one call to the next.
pub struct Client {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Client {
    /// Connects to `http://HOST:PORT`.
    ///
    /// # Errors
    /// Those of connect(2), and an URL of another form.
    pub fn connect(url: &str) -> io::Result<Self> {
        let host = url.strip_prefix("http://").ok_or_else(|| bad("an URL that is not http://HOST:PORT"))?;
        let host = host.trim_end_matches('/');
        Ok(Self { stream: BufReader::new(TcpStream::connect(host)?), host: host.to_owned() })
    }

    /// Calls the server and waits for its answer.
    ///
    /// # Errors
    /// When the connection breaks or the answer is not HTTP.
    pub fn call(&mut self, method: &str, path: &str, body: &str) -> io::Result<Answer> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: orders\r\n", self.host);
        if !body.is_empty() {
            head.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
        }
        self.stream.get_mut().write_all(format!("{head}\r\n{body}").as_bytes())?;
        let answer = read(&mut self.stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = answer.start.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok((status.ok_or_else(|| bad("a status that is no number"))?, answer.body))
    }
}

/// Answers requests, a thread for each connection, until the process ends, or these many connections have.
pub fn serve(listener: &TcpListener, connections: Option<usize>, answer: impl Fn(&Message) -> Answer + Sync) {
    std::thread::scope(|threads| {
        for stream in listener.incoming().take(connections.unwrap_or(usize::MAX)) {
            let answer = &answer;
            match stream {
                Ok(stream) => {
                    threads.spawn(move || {
                        converse(stream, answer).unwrap_or_else(|error| eprintln!("orders: {error}"))
                    });
                }
                Err(error) => eprintln!("orders: cannot accept: {error}"),
            }
        }
    });
}

/// One connection, request after request.
fn converse(stream: TcpStream, answer: impl Fn(&Message) -> Answer) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream)? {
        let (status, body) = answer(&request);
        let reason = match status {
            200 => "OK",
            201 => "Created",
            404 => "Not Found",
            409 => "Conflict",
            _ => "Bad Gateway",
        };
        let head = format!("HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\n");
        let text = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        stream.get_mut().write_all(text.as_bytes())?;
        if request.closes {
            break;
        }
    }
    Ok(())
}

/// The value of a field of a flat JSON object, quotes removed.
pub fn field<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = json.split_once(&format!("\"{name}\":"))?;
    let end = after.find([',', '}'])?;
    Some(after[..end].trim().trim_matches('"'))
}
