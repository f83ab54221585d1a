//! Where members stand in the running kernel's structures: a reader of BTF (Documentation/bpf/btf.rst), just
//! enough of it. It trusts nothing that it reads: no index unchecked, no walk without a bound.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::error::{Exit, ExpectedError, Result};

/// The type information of the running kernel.
const KERNEL: &str = "/sys/kernel/btf/vmlinux";
/// Kernels have about 5 MiB of it.
const MOST_BYTES: u64 = 256 << 20;
/// Members and modifiers that one look-up goes through, at most; real ones need some hundreds.
const MOST_STEPS: usize = 100_000;

const MAGIC: u16 = 0xeb9f;
const HEADER_LEN: usize = 24;
/// `struct btf_type`, before what its kind adds.
const TYPE_LEN: usize = 12;
/// `struct btf_member`.
const MEMBER_LEN: usize = 12;

/// Type information, indexed. Names and offsets are those of the compiler that built the kernel.
#[derive(Debug)]
pub struct Btf {
    bytes: Vec<u8>,
    strings: std::ops::Range<usize>,
    /// Where each type begins, type 1 first; 0 is void and has no entry.
    types: Vec<usize>,
    /// Where those begin that are structs.
    structs: Vec<usize>,
}

/// Why bytes are not BTF that we can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(&'static str);

/// The kinds (`BTF_KIND_*`, linux/btf.h) that matter to a look-up; all others are only stepped over.
mod kind {
    pub const STRUCT: u32 = 4;
    pub const UNION: u32 = 5;
    pub const TYPEDEF: u32 = 8;
    pub const VOLATILE: u32 = 9;
    pub const CONST: u32 = 10;
    pub const RESTRICT: u32 = 11;
    pub const TYPE_TAG: u32 = 18;
}

/// `struct btf_type`.
#[derive(Clone, Copy)]
struct Type {
    name: u32,
    kind: u32,
    /// Whether members' offsets share their word with a bit-field's width.
    kind_flag: bool,
    members: usize,
    /// A size in bytes, or the id of another type, as the kind has it.
    size_or_type: u32,
}

/// Where a member was found: bits from the beginning of the structure, and its type's id.
#[derive(Clone, Copy)]
struct Found {
    bits: u32,
    of_type: u32,
}

impl Btf {
    /// Of the running kernel. Fails with exit status 3 where it has none (CONFIG_DEBUG_INFO_BTF) or none that we
    /// understand.
    pub fn of_kernel() -> Result<Self> {
        Self::from_file(Path::new(KERNEL))
    }

    fn from_file(path: &Path) -> Result<Self> {
        let failed = |why: String| {
            let sentence = format!("the kernel's type information {} cannot be read: {why}", path.display());
            ExpectedError::new(Exit::Host, sentence)
                .help("a kernel built with CONFIG_DEBUG_INFO_BTF=y is needed, as distributions build theirs")
        };
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes))
            .map_err(|error| failed(error.to_string()))?;
        Self::parse(bytes).map_err(|error| failed(error.to_string()))
    }

    /// Indexes BTF in this machine's byte order, in one pass.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, Malformed> {
        let (types, strings) = sections(&bytes)?;
        let mut btf = Self { bytes, strings, types: Vec::new(), structs: Vec::new() };
        let mut at = types.start;
        while at < types.end {
            let head = btf.read_type(at).ok_or(Malformed("a type is cut off"))?;
            let length = added_length(head.kind, head.members)
                .ok_or(Malformed("it has a kind of type that this version does not know"))?;
            btf.types.push(at);
            if head.kind == kind::STRUCT {
                btf.structs.push(at);
            }
            at += TYPE_LEN + length;
        }
        if at == types.end { Ok(btf) } else { Err(Malformed("a type is cut off")) }
    }

    /// Byte offset of a member of `struct structure`: `offset("task_struct", "tgid")`. Members of anonymous structs
    /// and unions count as the structure's own, as in C; a dot leads into a named one: `"ns.inum"`. None if there
    /// is no such structure or member, or if it is a bit-field.
    pub fn offset(&self, structure: &str, path: &str) -> Option<u32> {
        // A name may stand for several structures (private ones of different files); ours are unique.
        self.structs_named(structure).find_map(|at| self.offset_in(at, path))
    }

    /// Size of `struct structure` in bytes.
    pub fn size(&self, structure: &str) -> Option<u32> {
        Some(self.read_type(self.structs_named(structure).next()?)?.size_or_type)
    }

    fn structs_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = usize> + 'a {
        let named = move |at: &usize| {
            self.read_type(*at).and_then(|head| self.name(head.name)) == Some(name.as_bytes())
        };
        self.structs.iter().copied().filter(named)
    }

    fn offset_in(&self, structure: usize, path: &str) -> Option<u32> {
        let mut steps = 0;
        let (mut at, mut bits) = (Some(structure), 0_u32);
        for name in path.split('.') {
            let found = self.member(at?, name, &mut steps)?;
            bits = bits.checked_add(found.bits)?;
            at = self.aggregate(found.of_type, &mut steps);
        }
        (bits % 8 == 0).then_some(bits / 8)
    }

    /// The member `name` of the struct or union at `structure`.
    fn member(&self, structure: usize, name: &str, steps: &mut usize) -> Option<Found> {
        let mut waiting = vec![(structure, 0_u32)];
        while let Some((at, base)) = waiting.pop() {
            let head = self.read_type(at)?;
            for index in 0..head.members {
                *steps += 1;
                if *steps > MOST_STEPS {
                    return None;
                }
                let member = at + TYPE_LEN + index * MEMBER_LEN;
                let [own_name, of_type, offset] = [0, 4, 8].map(|field| self.word(member + field));
                let (of_type, mut bits) = (of_type?, offset?);
                let mut width = 0;
                if head.kind_flag {
                    (width, bits) = (bits >> 24, bits & 0xff_ffff);
                }
                let bits = base.checked_add(bits)?;
                match self.name(own_name?)? {
                    b"" => waiting.extend(self.aggregate(of_type, steps).map(|inner| (inner, bits))),
                    own if own == name.as_bytes() => return (width == 0).then_some(Found { bits, of_type }),
                    _ => {}
                }
            }
        }
        None
    }

    /// Where the struct or union begins that type `id` is, perhaps under other names. None if it is neither, or
    /// when `steps` are used up (types that contain themselves).
    fn aggregate(&self, mut id: u32, steps: &mut usize) -> Option<usize> {
        while *steps < MOST_STEPS {
            *steps += 1;
            let at = *self.types.get(usize::try_from(id).ok()?.checked_sub(1)?)?;
            let head = self.read_type(at)?;
            match head.kind {
                kind::STRUCT | kind::UNION => return Some(at),
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    id = head.size_or_type;
                }
                _ => return None,
            }
        }
        None
    }

    fn read_type(&self, at: usize) -> Option<Type> {
        let [name, info, size_or_type] = [0, 4, 8].map(|field| self.word(at + field));
        let info = info?;
        Some(Type {
            name: name?,
            kind: info >> 24 & 0x1f,
            kind_flag: info >> 31 == 1,
            members: (info & 0xffff) as usize,
            size_or_type: size_or_type?,
        })
    }

    fn word(&self, at: usize) -> Option<u32> {
        word(&self.bytes, at)
    }

    fn name(&self, offset: u32) -> Option<&[u8]> {
        let rest = self.bytes.get(self.strings.clone())?.get(offset as usize..)?;
        rest.split(|byte| *byte == 0).next()
    }
}

/// Where the types and the strings are.
fn sections(bytes: &[u8]) -> Result<(std::ops::Range<usize>, std::ops::Range<usize>), Malformed> {
    if bytes.len() < HEADER_LEN {
        return Err(Malformed("it is too short"));
    }
    if u16::from_ne_bytes([bytes[0], bytes[1]]) != MAGIC {
        return Err(Malformed("it is not BTF of this machine's byte order"));
    }
    if bytes[2] != 1 {
        return Err(Malformed("it is of a version that is not known here"));
    }
    let field = |at| word(bytes, at).map(|value| value as usize);
    let section = |offset: usize, length: usize| {
        let start = field(4)?.checked_add(field(offset)?)?;
        let end = start.checked_add(field(length)?)?;
        (end <= bytes.len()).then_some(start..end)
    };
    let sections = section(8, 12).zip(section(16, 20));
    sections.ok_or(Malformed("its sections end beyond it"))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

/// How many bytes follow `struct btf_type` (btf.rst, section 2.2). None for a kind that came later: since nothing
/// says how long it is, nothing after it can be read.
const fn added_length(kind: u32, members: usize) -> Option<usize> {
    Some(match kind {
        // PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG
        2 | 7..=12 | 16 | 18 => 0,
        // INT, VAR, DECL_TAG
        1 | 14 | 17 => 4,
        // ARRAY
        3 => 12,
        // STRUCT, UNION, DATASEC, ENUM64
        4 | 5 | 15 | 19 => members * 12,
        // ENUM, FUNC_PROTO
        6 | 13 => members * 8,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
