//! The stub, addressed directly: without privileges, and with a kernel half of the tests' own.
