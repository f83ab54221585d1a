//! The binary as it is called. (That there is such a test makes cargo build the binary with the others; the demo
//! wants it.)

use std::process::Command;

#[test]
fn a_command_line_that_makes_no_sense_is_told_how_it_is_called() {
    for words in [&[][..], &["serve"], &["buy"], &["inventory", "--listen"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_orders")).args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("usage: orders "), "{words:?}");
    }
}
