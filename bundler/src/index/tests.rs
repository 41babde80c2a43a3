use std::sync::atomic::{AtomicBool, Ordering};

use redb::{Builder, Database, DatabaseError, StorageError};

use super::{store::FORMAT, *};
use crate::world::SystemDisk;

/// The system's, while it can be read.
#[derive(Debug, Default)]
struct Shut(AtomicBool);

impl Disk for Shut {
    fn database(&self, builder: &Builder, path: &Path) -> Result<Database, DatabaseError> {
        if self.0.load(Ordering::Relaxed) {
            return Err(StorageError::Io(std::io::ErrorKind::StorageFull.into()).into());
        }
        SystemDisk.database(builder, path)
    }

    fn temporary(&self, builder: &Builder) -> Result<Database, DatabaseError> {
        SystemDisk.temporary(builder)
    }

    fn length(&self, path: &Path) -> u64 {
        SystemDisk.length(path)
    }
}

fn event(n: u8, block: u64) -> Event {
    Event {
        hash: B256::repeat_byte(n),
        entry_point: Address::repeat_byte(1),
        transaction: B256::repeat_byte(n),
        block,
        block_hash: B256::with_last_byte(block as u8),
        log_index: n.into(),
        success: n.is_multiple_of(2),
    }
}

fn file(name: &str) -> std::path::PathBuf {
    let file = std::env::temp_dir().join(format!("fabstir-index-{}-{name}.redb", std::process::id()));
    let _ = std::fs::remove_file(&file);
    file
}

fn head(block: u64) -> (u64, B256) {
    (block, B256::with_last_byte(block as u8))
}

fn wanted(start: Option<u64>, retention: Option<u64>) -> Wanted {
    Wanted { start, lookback: 9_999, retention }
}

#[test]
fn what_is_filled_is_found_and_what_is_left_is_told_after_a_restart() {
    let file = file("restart");
    let index = Index::open(Arc::new(SystemDisk), Some(&file), 7, wanted(Some(10), None)).unwrap();
    assert!(index.gap().is_none(), "without a head there is nothing to want");
    index.advance(head(100), 100, &[], &BTreeSet::new()).unwrap();
    let gap = index.gap().unwrap();
    assert_eq!((gap.from, gap.to), (10, 99));
    index.fill(&gap, 60..=99, &[event(2, 70), event(3, 99)]).unwrap();
    drop(index);

    let index = Index::open(Arc::new(SystemDisk), Some(&file), 7, wanted(Some(10), None)).unwrap();
    assert_eq!(index.find(B256::repeat_byte(2)).unwrap(), Some(event(2, 70)));
    assert_eq!(index.find(B256::repeat_byte(9)).unwrap(), None);
    let gap = index.gap().unwrap();
    assert_eq!((gap.from, gap.to), (10, 59));
    index.fill(&gap, 10..=59, &[]).unwrap();
    assert!(index.gap().is_none());
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn blocks_that_executed_nothing_are_written_down_later_and_none_of_them_is_forgotten_at_the_end() {
    let file = file("quiet");
    let index = Index::open(Arc::new(SystemDisk), Some(&file), 7, wanted(Some(90), None)).unwrap();
    for block in 90..=100 {
        index.advance(head(block), block, &[], &BTreeSet::new()).unwrap();
    }
    assert!(index.gap().is_none() && index.state().unwritten);
    assert_eq!(index.store.coverage().unwrap().1.map(|top| top.number), None, "nothing is written yet");
    drop(index);

    let index = Index::open(Arc::new(SystemDisk), Some(&file), 7, wanted(Some(90), None)).unwrap();
    assert_eq!(index.state().top.map(|top| top.number), Some(100));
    assert!(index.gap().is_none());
    // What is filled in takes the newest block with it: what is known is known of one chain.
    index.advance(head(101), 101, &[], &BTreeSet::new()).unwrap();
    let gap = Gap { from: 80, to: 89, generation: 0 };
    index.fill(&gap, 80..=89, &[event(4, 85)]).unwrap();
    assert_eq!(index.store.coverage().unwrap().1.map(|top| top.number), Some(101));
    drop(index);
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn a_reorganisation_removes_what_was_in_the_blocks_it_replaced() {
    let index = Index::open(Arc::new(SystemDisk), None, 7, wanted(Some(0), None)).unwrap();
    index.advance(head(50), 50, &[], &BTreeSet::new()).unwrap();
    let gap = index.gap().unwrap();
    index.fill(&gap, 0..=49, &[event(1, 20), event(2, 45)]).unwrap();
    let late = Gap { from: 0, to: 49, ..gap };
    index.advance((48, B256::repeat_byte(9)), 40, &[], &BTreeSet::new()).unwrap();
    assert_eq!(index.find(B256::repeat_byte(1)).unwrap(), Some(event(1, 20)));
    assert_eq!(index.find(B256::repeat_byte(2)).unwrap(), None);
    // What was fetched before it is not written after it.
    index.fill(&late, 40..=49, &[event(2, 45)]).unwrap();
    assert_eq!(index.find(B256::repeat_byte(2)).unwrap(), None);
    assert!(index.gap().is_none());
}

#[test]
fn what_is_older_than_the_retention_is_forgotten_and_not_fetched_again() {
    let index = Index::open(Arc::new(SystemDisk), None, 7, wanted(Some(0), Some(30))).unwrap();
    index.advance(head(50), 50, &[], &BTreeSet::new()).unwrap();
    let gap = index.gap().unwrap();
    assert_eq!((gap.from, gap.to), (20, 49));
    index.fill(&gap, 20..=49, &[event(1, 20), event(2, 40)]).unwrap();
    index.advance(head(60), 51, &[], &BTreeSet::new()).unwrap();
    assert_eq!(index.find(B256::repeat_byte(1)).unwrap(), None);
    assert_eq!(index.find(B256::repeat_byte(2)).unwrap(), Some(event(2, 40)));
    assert!(index.gap().is_none());
}

#[test]
fn a_file_of_another_chain_another_format_or_another_kind_is_refused_and_left_as_it_is() {
    let path = file("foreign");
    drop(Index::open(Arc::new(SystemDisk), Some(&path), 7, wanted(None, None)).unwrap());
    let again = Index::open(Arc::new(SystemDisk), Some(&path), 8, wanted(None, None)).unwrap_err();
    assert!(matches!(again, IndexError::Chain { found: 7, configured: 8, .. }), "{again}");

    let newer = file("newer");
    {
        let store = Store::open(Arc::new(SystemDisk), Some(&newer), 7).unwrap();
        store.write_format(FORMAT + 1);
    }
    let refused = Index::open(Arc::new(SystemDisk), Some(&newer), 7, wanted(None, None)).unwrap_err();
    assert!(matches!(refused, IndexError::Format { found, .. } if found == FORMAT + 1), "{refused}");

    for (name, bytes) in [
        ("text", b"no index at all, but something".repeat(400)),
        ("cut", {
            let whole = std::fs::read(&path).unwrap();
            whole[..whole.len() / 2].to_vec()
        }),
    ] {
        let damaged = file(name);
        std::fs::write(&damaged, &bytes).unwrap();
        let refused = Index::open(Arc::new(SystemDisk), Some(&damaged), 7, wanted(None, None)).unwrap_err();
        assert!(matches!(refused, IndexError::Corrupt { .. }), "{name}: {refused:?}");
        assert_eq!(std::fs::read(&damaged).unwrap(), bytes, "{name}");
        std::fs::remove_file(&damaged).unwrap();
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::remove_file(&newer).unwrap();
}

#[test]
fn what_is_wanted_for_a_time_is_so_many_blocks_of_the_chain() {
    let minute = Some(Duration::from_secs(60));
    let wanted = Wanted::of(&Config { index_retention: minute, ..Config::new(erc4337::ChainPreset::base()) });
    assert_eq!((wanted.retention, wanted.lookback), (Some(300), 108_000), "five a second");
}

#[test]
fn what_left_the_chain_while_the_index_was_closed_is_not_told_when_it_is_open_again() {
    let (file, disk, own) = (file("closed"), Arc::new(Shut::default()), BTreeSet::new());
    let index = Index::open(Arc::clone(&disk) as Arc<dyn Disk>, Some(&file), 7, wanted(Some(1), None)).unwrap();
    index.advance(head(10), 10, &[], &own).unwrap();
    index.fill(&index.gap().unwrap(), 1..=9, &[event(1, 4), event(2, 5)]).unwrap();
    disk.0.store(true, Ordering::Relaxed);
    index.store.close();
    assert!(index.advance(head(11), 5, &[], &own).is_err(), "blocks from 5 on are others now");
    assert!(index.advance(head(12), 12, &[], &own).is_err());
    disk.0.store(false, Ordering::Relaxed);
    index.advance(head(13), 13, &[], &own).unwrap();
    assert_eq!(index.find(B256::repeat_byte(1)).unwrap(), Some(event(1, 4)));
    assert_eq!(index.find(B256::repeat_byte(2)).unwrap(), None);
    let gap = index.gap().unwrap();
    assert_eq!((gap.from, gap.to), (5, 12));
    drop(index);
    std::fs::remove_file(&file).unwrap();
}
