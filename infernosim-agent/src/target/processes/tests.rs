use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio, id};

use proptest::prelude::*;

use super::*;

/// A shell that says the number of a process below it and waits for its standard input to end.
struct Family {
    shell: Child,
    told: Vec<u32>,
}

impl Family {
    fn new(script: &str, lines: usize) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = command.spawn().unwrap();
        let out = BufReader::new(shell.stdout.take().unwrap());
        let told = out.lines().take(lines).map(|line| line.unwrap().parse().unwrap()).collect();
        Self { shell, told }
    }

    fn pid(&self) -> u32 {
        self.shell.id()
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        // What waits below reads the same pipe, so all of it ends.
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

#[test]
fn a_tree_of_processes_is_found_whole_and_alone() {
    // Two generations and a brother; each waits for the pipe's end.
    let wait = "cat >/dev/null";
    let script = format!("sh -c 'sh -c \"echo \\$\\$; {wait}; :\" <&3 & echo $$; {wait}; wait' 3<&0; :");
    let family = Family::new(&script, 2);
    let other = Family::new(&format!("echo $$; {wait}; :"), 1);
    let found = with_descendants(&[family.pid()]);
    assert!(found.contains(&family.pid()), "{found:?}");
    for pid in &family.told {
        assert!(found.contains(pid), "{pid} is not in {found:?}");
    }
    assert!(!found.contains(&other.pid()) && !found.contains(&id()), "{found:?}");
    let ours = with_descendants(&[id()]);
    assert!(found.iter().all(|pid| ours.contains(pid)) && ours.contains(&other.pid()), "{ours:?}");
}

#[test]
fn a_process_that_ended_is_not_found_and_not_mistaken_for_another() {
    let mut family = Family::new("echo $$; read line; :", 1);
    let process = Process::find(family.pid()).unwrap();
    assert!(process.runs());
    let later = Process { start_ticks: process.start_ticks + 1, ..process };
    assert!(!later.runs(), "a later process with this number is another");
    drop(family.shell.stdin.take());
    // A zombie until it is waited for, then gone.
    while Process::find(process.pid).is_some() {
        std::thread::yield_now();
    }
    assert!(!process.runs());
    assert_eq!(with_descendants(&[process.pid]), [0; 0]);
    family.shell.wait().unwrap();
    assert_eq!(network_namespace(process.pid), None);
    assert_eq!(Process::find(process.pid), None);
}

#[test]
fn this_process_has_the_namespaces_that_proc_shows() {
    let shown = fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(shown.to_str().unwrap(), format!("net:[{}]", network_namespace(id()).unwrap()));
    let shown = fs::read_link("/proc/self/ns/pid").unwrap();
    assert_eq!(shown.to_str().unwrap(), format!("pid:[{}]", pid_namespace(id()).unwrap()));
}

#[test]
fn members_of_descendants_count_and_numbers_we_do_not_have_do_not() {
    let tree = tempfile::tempdir().unwrap();
    let deep = tree.path().join("a/b/c");
    fs::create_dir_all(&deep).unwrap();
    fs::write(tree.path().join("cgroup.procs"), "7\n0\n3\n7\n").unwrap();
    fs::write(deep.join("cgroup.procs"), "12\n").unwrap();
    // `a` and `a/b` have no such file: as if removed while we read.
    assert_eq!(in_cgroup(tree.path()), [3, 7, 12]);
    assert_eq!(in_cgroup(&tree.path().join("gone")), [0; 0]);
}

#[test]
fn the_words_of_a_command_are_its_own() {
    let family = Family::new("echo $$; read line; : \"$0\" \"$1\"", 1);
    assert_eq!(command_line(family.pid()), ["sh", "-c", "echo $$; read line; : \"$0\" \"$1\""]);
    assert_eq!(command_line(0), [""; 0]);
    assert!(exists(family.pid()) && !exists(0));
}

#[test]
fn a_thread_belongs_to_its_process() {
    let thread = std::thread::spawn(|| process_of_thread(nix::unistd::gettid().as_raw() as u32));
    assert_eq!(thread.join().unwrap(), Some(id()));
}

fn line(name: &[u8], parent: u32, flags: u32, start_ticks: u64) -> Vec<u8> {
    let zeros = ["0"; 12].join(" ");
    let mut line = b"42 (".to_vec();
    line.extend(name);
    line.extend(format!(") S {parent} 0 0 0 0 {flags} {zeros} {start_ticks} 4096 1\n").bytes());
    line
}

proptest! {
    #[test]
    fn whatever_its_name_a_process_is_read(name in proptest::collection::vec(any::<u8>(), 0..16), parent: u32, flags: u32, start_ticks: u64) {
        let read = parse_stat(&line(&name, parent, flags, start_ticks));
        prop_assert_eq!(read, Some(Stat { parent, flags, start_ticks }));
    }

    #[test]
    fn no_line_is_a_panic(bytes: Vec<u8>) {
        let _ = parse_stat(&bytes);
    }
}

#[test]
fn a_torn_line_is_nothing() {
    let whole = line(b"x) S 1 (y", 1, 4, 5);
    for length in 0..whole.len() - "5 4096 1\n".len() {
        assert_eq!(parse_stat(&whole[..length]), None, "{length}");
    }
}
