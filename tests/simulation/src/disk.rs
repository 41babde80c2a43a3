//! A disk: what was synced stays, what was not is lost at a crash, in part or as a whole, sector by sector.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bundler::world::Disk as WorldDisk;
use redb::{Builder, Database, DatabaseError, StorageBackend};

use crate::{life::Life, random::Random};

/// Bytes that are written whole or not at all.
const SECTOR: usize = 512;

/// What goes wrong with it now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskIlls {
    /// Writes fail: no space is left.
    pub full: bool,
    /// So many of 1,000 syncs fail; what was written before them may be on the disk or not.
    pub failing_syncs: u64,
}

/// See the module. Cheap to clone: the same disk.
#[derive(Clone, Debug)]
pub struct Disk(Arc<Mutex<Files>>);

#[derive(Debug)]
struct Files {
    files: BTreeMap<PathBuf, File>,
    life: Life,
    random: Random,
    ills: DiskIlls,
    syncs: u64,
    /// The node dies at this sync, before or after it is done.
    deadly: Option<(u64, bool)>,
}

#[derive(Debug, Default)]
struct File {
    synced: Vec<u8>,
    now: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Length(usize),
    Write(usize, Vec<u8>),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Length(length) => to.resize(*length, 0),
            Self::Write(at, data) => write(to, *at, data),
        }
    }
}

fn write(to: &mut Vec<u8>, at: usize, data: &[u8]) {
    if to.len() < at + data.len() {
        to.resize(at + data.len(), 0);
    }
    to[at..at + data.len()].copy_from_slice(data);
}

impl Disk {
    /// An empty one.
    pub fn new(seed: u64, life: Life) -> Self {
        let random = Random::new(seed, "disk");
        Self(Arc::new(Mutex::new(Files {
            files: BTreeMap::new(),
            life,
            random,
            ills: DiskIlls::default(),
            syncs: 0,
            deadly: None,
        })))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Files) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on.
    pub fn set_ills(&self, ills: DiskIlls) {
        self.with(|it| it.ills = ills);
    }

    /// The node dies at the sync that comes after so many others, `after` it is done or before.
    pub fn set_deadly(&self, others: u64, after: bool) {
        self.with(|it| it.deadly = Some((it.syncs + others, after)));
    }

    /// The power went: what was not synced is there in part.
    pub fn crash(&self) {
        self.with(|it| {
            let Files { files, random, deadly, .. } = it;
            *deadly = None;
            for file in files.values_mut() {
                // Three kinds of caches: none of it, some of it in any order, all but the last.
                let kind = random.below(3);
                let (pending, last) = (std::mem::take(&mut file.pending), random.below(64));
                let count = pending.len() as u64;
                for (position, change) in pending.into_iter().enumerate() {
                    let kept = match kind {
                        0 => false,
                        1 => random.chance(500),
                        _ => position as u64 + last < count,
                    };
                    match change {
                        _ if !kept => {}
                        Change::Write(at, data) if random.chance(300) => {
                            for (sector, bytes) in data.chunks(SECTOR).enumerate() {
                                if random.chance(500) {
                                    write(&mut file.synced, at + sector * SECTOR, bytes);
                                }
                            }
                        }
                        change => change.apply(&mut file.synced),
                    }
                }
                file.now.clone_from(&file.synced);
            }
        });
    }

    /// Whether a crash now would leave these bytes in this file.
    pub fn is_durable(&self, path: &str, bytes: &[u8]) -> bool {
        self.with(|it| {
            let file = it.files.get(Path::new(path));
            file.is_some_and(|file| memchr::memmem::find(&file.synced, bytes).is_some())
        })
    }

    /// Bytes of all files.
    pub fn size(&self) -> usize {
        self.with(|it| it.files.values().map(|file| file.now.len()).sum())
    }
}

impl WorldDisk for Disk {
    fn database(&self, builder: &Builder, path: &Path) -> Result<Database, DatabaseError> {
        let life = self.with(|it| {
            it.files.entry(path.to_owned()).or_default();
            it.life.number()
        });
        builder.create_with_backend(Handle { disk: self.clone(), path: path.to_owned(), life })
    }

    fn temporary(&self, builder: &Builder) -> Result<Database, DatabaseError> {
        builder.create_with_backend(redb::backends::InMemoryBackend::new())
    }

    fn length(&self, path: &Path) -> u64 {
        self.with(|it| it.files.get(path).map_or(0, |file| file.now.len() as u64))
    }
}

/// An open file of one life of the node's.
#[derive(Debug)]
struct Handle {
    disk: Disk,
    path: PathBuf,
    life: u64,
}

impl Handle {
    fn with<T>(&self, work: impl FnOnce(&mut File, &mut Random, DiskIlls) -> io::Result<T>) -> io::Result<T> {
        self.disk.with(|it| {
            if it.life.number() != self.life || it.life.is_over() {
                return Err(io::Error::other("the node is dead"));
            }
            let ills = it.ills;
            let Some(file) = it.files.get_mut(&self.path) else { return Err(io::ErrorKind::NotFound.into()) };
            work(file, &mut it.random, ills)
        })
    }
}

fn place(offset: u64, length: usize, file: &File) -> io::Result<std::ops::Range<usize>> {
    let start = usize::try_from(offset).map_err(io::Error::other)?;
    if start + length > file.now.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(start..start + length)
}

impl StorageBackend for Handle {
    fn len(&self) -> Result<u64, io::Error> {
        self.with(|file, _, _| Ok(file.now.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.with(|file, _, _| {
            out.copy_from_slice(&file.now[place(offset, out.len(), file)?]);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        let length = usize::try_from(len).map_err(io::Error::other)?;
        self.with(|file, _, ills| {
            if ills.full && length > file.now.len() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            file.now.resize(length, 0);
            file.pending.push(Change::Length(length));
            Ok(())
        })
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let (deadly, life) = self.disk.with(|it| {
            it.syncs += 1;
            (it.deadly.filter(|(at, _)| it.syncs > *at), it.life.clone())
        });
        if let Some((_, false)) = deadly {
            life.end();
        }
        let done = self.with(|file, random, ills| {
            if random.chance(ills.failing_syncs) {
                return Err(io::Error::other("the disk does not answer"));
            }
            for change in std::mem::take(&mut file.pending) {
                change.apply(&mut file.synced);
            }
            Ok(())
        });
        if let Some((_, true)) = deadly {
            life.end();
        }
        done
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.with(|file, _, ills| {
            if ills.full {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let range = place(offset, data.len(), file)?;
            file.now[range.clone()].copy_from_slice(data);
            file.pending.push(Change::Write(range.start, data.to_vec()));
            Ok(())
        })
    }
}
