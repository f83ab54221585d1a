//! Services that are short of somebody who serves, and a replay that is the slowest itself.

use super::{Limited, assert_limited_by};

/// Four threads of a ThreadPoolExecutor, each with one connection, and nobody to wait for but them.
#[test]
fn a_pool_of_four_threads_is_exhausted() {
    let replayed = Limited::asked("/nap").under_load("workers").run();
    assert_limited_by(&replayed, "CONNECTION_POOL_EXHAUSTION");
    let found = "looks found 4 requests being served (at most ";
    assert!(replayed.result.contains(found), "{}", replayed.all());
}

/// The same in front of a dependency that takes as long: it is not that which is short.
#[test]
fn threads_that_wait_for_a_dependency_are_exhausted_all_the_same() {
    let replayed = Limited::captured().under_load("workers").run();
    assert_limited_by(&replayed, "CONNECTION_POOL_EXHAUSTION");
    assert!(replayed.result.contains(" that it had not read"), "{}", replayed.all());
}

/// As many threads as there are requests: nobody waits.
#[test]
fn without_a_pool_none_is_short() {
    let replayed = Limited::asked("/nap").under_load("").run();
    assert_limited_by(&replayed, "NONE");
}

#[test]
fn a_queue_of_connections_that_is_full_is_named() {
    let limited = Limited::asked("/nap");
    let service = super::command(&limited.variables, "backlog");
    let replayed = limited.with(&service).option(&["--fanout", "5"]).run();
    assert_limited_by(&replayed, "CONNECTION_POOL_EXHAUSTION");
    let found = "times a connection found no room among those to be accepted";
    assert!(replayed.result.contains(found), "{}", replayed.all());
}

/// What is sent at once is there already; to read and compare a megabyte of JSON takes longer.
#[test]
fn a_replay_that_is_slower_than_the_target_says_so() {
    let limited = Limited::asked("/big");
    let replayed = limited.with(&super::command(&limited.variables, "")).option(&["--fanout", "8"]).run();
    assert_limited_by(&replayed, "PROXY_BACKPRESSURE");
}
