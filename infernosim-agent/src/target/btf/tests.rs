use proptest::prelude::*;

use super::*;

/// Builds BTF type by type.
struct Blob {
    types: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
}

impl Blob {
    fn new() -> Self {
        Self { types: Vec::new(), strings: vec![0], count: 0 }
    }

    fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend(text.bytes());
        self.strings.push(0);
        at
    }

    fn words(&mut self, words: &[u32]) {
        self.types.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
    }

    /// Adds a type, returns its id.
    fn add(&mut self, name: &str, info: u32, size_or_type: u32, rest: &[u32]) -> u32 {
        let name = self.string(name);
        self.words(&[name, info, size_or_type]);
        self.words(rest);
        self.count += 1;
        self.count
    }

    fn aggregate(
        &mut self,
        kind: u32,
        name: &str,
        size: u32,
        flag: bool,
        members: &[(&str, u32, u32)],
    ) -> u32 {
        let rest: Vec<u32> =
            members.iter().flat_map(|(name, of, offset)| [self.string(name), *of, *offset]).collect();
        let info = kind << 24 | members.len() as u32 | u32::from(flag) << 31;
        self.add(name, info, size, &rest)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        bytes.extend([24, 0, types, types, strings].iter().flat_map(|word: &u32| word.to_ne_bytes()));
        bytes.extend(&self.types);
        bytes.extend(&self.strings);
        bytes
    }
}

/// Every kind once, so that stepping over any of them wrongly is seen.
fn house() -> Vec<u8> {
    let mut blob = Blob::new();
    let int = blob.add("int", 1 << 24, 4, &[32]);
    blob.add("", 2 << 24, int, &[]);
    blob.add("", 3 << 24, 0, &[int, int, 4]);
    blob.add("color", 6 << 24 | 2, 4, &[0, 0, 0, 1]);
    blob.add("task", 7 << 24, 0, &[]);
    blob.add("main", 12 << 24, 8, &[]);
    blob.add("", 13 << 24 | 1, int, &[0, int]);
    blob.add("jiffies", 14 << 24, int, &[0]);
    blob.add(".data", 15 << 24 | 1, 4, &[8, 0, 4]);
    blob.add("float", 16 << 24, 4, &[]);
    blob.add("tag", 17 << 24, int, &[0]);
    blob.add("big", 19 << 24 | 2, 8, &[0; 6]);
    let inner = blob.aggregate(kind::STRUCT, "", 8, false, &[("deep", int, 0), ("deeper", int, 32)]);
    let constant = blob.add("", 10 << 24, inner, &[]);
    let tagged = blob.add("user", 18 << 24, constant, &[]);
    let named = blob.aggregate(kind::STRUCT, "common", 16, false, &[("pad", int, 0), ("inum", int, 64)]);
    let named = blob.add("common_t", 8 << 24, named, &[]);
    let union = blob.aggregate(kind::UNION, "", 8, false, &[("whole", int, 0), ("", tagged, 0)]);
    let members = [("first", int, 0), ("", union, 64), ("ns", named, 128), ("last", int, 256)];
    blob.aggregate(kind::STRUCT, "task", 40, false, &members);
    let fields = [("narrow", int, 3 << 24 | 8), ("wide", int, 32), ("odd", int, 33)];
    blob.aggregate(kind::STRUCT, "bits", 8, true, &fields);
    blob.bytes()
}

#[test]
fn members_are_found_as_c_finds_them() {
    let btf = Btf::parse(house()).unwrap();
    let cases =
        [("first", 0), ("whole", 8), ("deep", 8), ("deeper", 12), ("ns", 16), ("ns.inum", 24), ("last", 32)];
    for (path, offset) in cases {
        assert_eq!(btf.offset("task", path), Some(offset), "{path}");
    }
    assert_eq!(btf.size("task"), Some(40));
    assert_eq!(btf.size("common"), Some(16));
}

#[test]
fn what_is_not_there_is_not_found() {
    let btf = Btf::parse(house()).unwrap();
    for path in ["", "inum", "fir", "firsts", "first.x", "ns.", "ns.nothing", "."] {
        assert_eq!(btf.offset("task", path), None, "{path}");
    }
    for name in ["", "tas", "common_t", "int", "nothing"] {
        assert_eq!(
            (btf.offset(name, "first"), btf.size(name).filter(|_| !name.is_empty())),
            (None, None),
            "{name}"
        );
    }
}

#[test]
fn bit_fields_have_no_byte_offset() {
    let btf = Btf::parse(house()).unwrap();
    assert_eq!(btf.offset("bits", "wide"), Some(4));
    assert_eq!(btf.offset("bits", "narrow"), None, "a bit-field");
    assert_eq!(btf.offset("bits", "odd"), None, "not at a byte's beginning");
}

#[test]
fn types_that_contain_themselves_end() {
    let mut blob = Blob::new();
    // 1: two anonymous members of its own type; 2 and 3: each the other's name.
    blob.aggregate(kind::STRUCT, "a", 8, false, &[("", 1, 0), ("", 1, 0)]);
    blob.add("b", 8 << 24, 3, &[]);
    blob.add("c", 8 << 24, 2, &[]);
    blob.aggregate(kind::STRUCT, "d", 8, false, &[("", 2, 0), ("e", 2, 0)]);
    let btf = Btf::parse(blob.bytes()).unwrap();
    assert_eq!(btf.offset("a", "x"), None);
    assert_eq!(btf.offset("d", "e.f"), None);
}

#[test]
fn what_cannot_be_read_is_said() {
    let said = |bytes: &[u8]| Btf::parse(bytes.to_vec()).unwrap_err().to_string();
    let house = house();
    assert_eq!(said(&house[..23]), "it is too short");
    assert_eq!(said(&house[..house.len() - 1]), "its sections end beyond it");
    let with = |at: usize, byte: u8| {
        let mut bytes = house.clone();
        bytes[at] = byte;
        bytes
    };
    assert_eq!(said(&with(0, 0)), "it is not BTF of this machine's byte order");
    assert_eq!(said(&with(2, 2)), "it is of a version that is not known here");
    // The first type's kind, and the length of the types.
    assert_eq!(said(&with(24 + 4 + 3, 31)), "it has a kind of type that this version does not know");
    assert_eq!(said(&with(12, house[12] - 4)), "a type is cut off");
}

#[test]
fn a_kernel_without_it_is_an_error_that_says_what_is_needed() {
    let error = Btf::from_file(Path::new("/no/such/btf")).unwrap_err();
    assert_eq!(error.exit, Exit::Host);
    assert!(error.help.unwrap().contains("CONFIG_DEBUG_INFO_BTF"));
}

proptest! {
    #[test]
    fn garbage_is_never_a_panic(bytes: Vec<u8>) {
        let _ = Btf::parse(bytes);
    }

    /// Damaged BTF, which gets further than garbage does.
    #[test]
    fn damage_is_never_a_panic(damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = house();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(btf) = Btf::parse(bytes) {
            for path in ["first", "deep", "ns.inum", "last", "nothing"] {
                let _ = btf.offset("task", path);
            }
            let _ = (btf.offset("bits", "wide"), btf.size("common"));
        }
    }
}

/// The kernel's own, where the machine has it: what must hold of these structures in every version.
#[test]
fn the_running_kernel_is_understood() {
    if !Path::new(KERNEL).exists() {
        return;
    }
    let btf = Btf::of_kernel().unwrap();
    let offset =
        |structure, path| btf.offset(structure, path).unwrap_or_else(|| panic!("{structure}.{path}"));
    // `pid_t pid; pid_t tgid;` stand side by side in linux/sched.h.
    assert_eq!(offset("task_struct", "tgid"), offset("task_struct", "pid") + 4);
    for path in ["group_leader", "thread_pid"] {
        let at = offset("task_struct", path);
        assert!(at > 0 && at.is_multiple_of(8) && at < btf.size("task_struct").unwrap(), "{path}: {at}");
    }
    // linux/pid.h: `struct upid { int nr; struct pid_namespace *ns; }`.
    assert_eq!((offset("upid", "nr"), offset("upid", "ns"), btf.size("upid")), (0, 8, Some(16)));
    assert!(offset("pid", "numbers") > offset("pid", "level"));
    let (ns, inum) = (offset("pid_namespace", "ns"), offset("ns_common", "inum"));
    assert_eq!(offset("pid_namespace", "ns.inum"), ns + inum);
}
