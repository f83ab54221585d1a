//! Who has a file locked.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;

/// How often the kernel is asked. It tells its locks a page at a time: what others lock and unlock between two pages
/// moves the rest, and one is passed over (1 of 100 times where 300 come and go without a pause) or told twice.
const LOOKS: usize = 8;

/// The process that has this file locked, as far as the kernel tells: `proc_locks(5)`.
pub(super) fn holder(file: &File) -> Option<u32> {
    let inode = file.metadata().ok()?.ino();
    let look = || Some(the_one(&std::fs::read_to_string("/proc/locks").ok()?, inode));
    std::iter::repeat_with(look).take(LOOKS).map_while(|looked| looked).find_map(|holder| holder)
}

/// Who has the file of this number locked for itself; nobody where several do, since the files of two file systems may
/// have one number.
fn the_one(locks: &str, inode: u64) -> Option<u32> {
    let inode = inode.to_string();
    let holders = locks.lines().filter_map(|line| {
        // `1: FLOCK  ADVISORY  WRITE 4242 08:01:131 0 EOF`; a waiting one has `->` behind its number.
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", pid, file, ..] = words.as_slice() else { return None };
        (file.rsplit(':').next() == Some(&inode)).then(|| pid.parse().ok())?
    });
    let holders: BTreeSet<u32> = holders.collect();
    holders.first().copied().filter(|_| holders.len() == 1)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn one_that_waits_or_has_another_file_is_not_it() {
        let locks = "1: FLOCK  ADVISORY  WRITE 7 08:01:131 0 EOF\n1: -> FLOCK  ADVISORY  WRITE 8 08:01:131 0 EOF\n\
            2: POSIX  ADVISORY  WRITE 9 08:01:131 0 EOF\n3: FLOCK  ADVISORY  READ 10 08:01:132 0 EOF\n\
            4: FLOCK  ADVISORY  WRITE 11 08:01:1131 0 EOF\n";
        assert_eq!((the_one(locks, 131), the_one(locks, 132), the_one(locks, 31)), (Some(7), None, None));
        let again = locks.replace("1131", "131").replace(" 11 ", " 7 ");
        assert_eq!(the_one(&again, 131), Some(7), "told twice");
        assert_eq!(
            the_one(&locks.replace("1131", "131"), 131),
            None,
            "which of two file systems is not known"
        );
    }

    #[test]
    fn it_is_told_while_others_lock_and_unlock() {
        let folder = tempfile::tempdir().unwrap();
        let ours = File::create(folder.path().join("ours")).unwrap();
        ours.lock().unwrap();
        let (begun, over) = (Barrier::new(2), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let others = || {
                let files: Vec<_> = (0..300).map(|_| tempfile::tempfile_in(&folder).unwrap()).collect();
                begun.wait();
                while !over.load(Ordering::Relaxed) {
                    files.iter().for_each(|file| file.lock().unwrap());
                    files.iter().for_each(|file| file.unlock().unwrap());
                }
            };
            scope.spawn(others);
            begun.wait();
            let told: Vec<_> = (0..500).map(|_| holder(&ours)).collect();
            over.store(true, Ordering::Relaxed);
            let missed = told.iter().filter(|&&pid| pid != Some(std::process::id())).count();
            assert_eq!(missed, 0, "of {}", told.len());
        });
    }
}
