//! The shop with nobody to call.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// Ended when dropped, as a failed test does.
struct Shop(Child);

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends a request and gives the status and all that came.
fn ask(address: &str, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!("{request}\r\nHost: shop.test\r\nConnection: close\r\n");
    let order = "{\"item\":\"apple\",\"count\":1}";
    let body = format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{order}", order.len());
    stream.write_all((head + &body).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer.split(' ').nth(1).unwrap_or_default().to_owned(), answer)
}

#[test]
fn without_its_dependencies_it_says_so_and_it_ends_in_order() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shop-rust"));
    for name in ["INVENTORY_URL", "PAYMENTS_URL", "COURIER_URL"] {
        command.env(name, "http://127.0.0.1:1"); // where nobody listens
    }
    command.env("PORT", "0").env_remove("HTTP_PROXY").env_remove("http_proxy");
    let mut shop = Shop(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut line = String::new();
    let mut output = BufReader::new(shop.0.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("shop-rust: listening on http://").unwrap();

    for request in ["GET /api/demo HTTP/1.1", "POST /checkout HTTP/1.1"] {
        let (status, answer) = ask(address, request);
        assert_eq!(status, "502", "{answer}");
        assert!(answer.ends_with("{\"error\":\"the inventory does not answer\"}"), "{answer}");
    }
    assert_eq!(ask(address, "GET /checkout HTTP/1.1").0, "404");

    let pid = shop.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(shop.0.wait().unwrap().code(), Some(0));
}
