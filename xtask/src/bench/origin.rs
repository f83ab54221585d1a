//! Stands in for nginx where there is none: files from memory, a thread for each connection.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

type Files = BTreeMap<String, Vec<u8>>;

/// Serves the files of a directory until it is killed.
///
/// # Errors
/// When it cannot listen, or read the directory.
pub fn run(listen: SocketAddr, directory: &Path) -> Result<()> {
    let mut files = Files::new();
    for entry in fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let entry = entry?;
        files.insert(format!("/{}", entry.file_name().to_string_lossy()), fs::read(entry.path())?);
    }
    let files = Arc::new(files);
    let listener = TcpListener::bind(listen).with_context(|| format!("cannot listen on {listen}"))?;
    for stream in listener.incoming() {
        let (stream, files) = (stream?, Arc::clone(&files));
        // A peer that goes away ends its thread only.
        std::thread::spawn(move || answer(&stream, &files));
    }
    Ok(())
}

/// Answers requests without a body until one says that it is the last.
fn answer(mut stream: &TcpStream, files: &Files) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BufReader::new(stream);
    let (mut path, mut close, mut line) = (String::new(), false, String::new());
    loop {
        line.clear();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let text = line.trim_end().to_ascii_lowercase();
        if path.is_empty() {
            path = text.split(' ').nth(1).unwrap_or("/").to_owned();
        } else if text == "connection: close" {
            close = true;
        } else if text.is_empty() {
            let (status, body) = files.get(&path).map_or(("404 Not Found", &[][..]), |body| ("200 OK", body));
            let connection = if close { "close" } else { "keep-alive" };
            let mut out = format!(
                "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n",
                body.len()
            )
            .into_bytes();
            out.extend_from_slice(body);
            stream.write_all(&out)?;
            if close {
                return Ok(());
            }
            path.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::server::{Scratch, free_address};
    use std::io::Read;

    #[test]
    fn answers_until_the_last_request() {
        let directory = std::env::temp_dir().join(format!("xtask-bench-origin-{}", std::process::id()));
        let directory = Scratch::new(directory).unwrap();
        fs::write(directory.0.join("5"), "hello").unwrap();
        let (listen, files) = (free_address().unwrap(), directory.0.clone());
        std::thread::spawn(move || run(listen, &files));
        let mut client = loop {
            match TcpStream::connect(listen) {
                Ok(client) => break client,
                Err(_) => std::thread::sleep(std::time::Duration::from_millis(5)),
            }
        };
        client.write_all(b"GET /5 HTTP/1.1\r\n\r\nGET /6 HTTP/1.1\r\nConnection: Close\r\n\r\n").unwrap();
        let mut got = String::new();
        client.read_to_string(&mut got).unwrap();
        let (first, second) = got.split_once("hello").unwrap();
        assert!(first.starts_with("HTTP/1.1 200 OK\r\n") && first.contains("Content-Length: 5\r\n"), "{got}");
        assert!(second.starts_with("HTTP/1.1 404 ") && second.contains("Connection: close\r\n"), "{got}");
    }
}
