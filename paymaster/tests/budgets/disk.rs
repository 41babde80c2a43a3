//! A disk that outlives the process, and whose process can be made to die before any of its writes.

use std::{
    io::{Error, ErrorKind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use redb::StorageBackend;

#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<Vec<u8>>>);

/// One process's hold on it.
#[derive(Debug)]
pub(crate) struct Hold {
    disk: Disk,
    /// Writes that are left to it.
    fuse: Arc<AtomicU64>,
}

impl Disk {
    /// A process that is going to write; and how many writes it has left, at first more than it will make.
    pub(crate) fn hold(&self) -> (Hold, Arc<AtomicU64>) {
        let fuse = Arc::new(AtomicU64::new(u64::MAX / 2));
        (Hold { disk: self.clone(), fuse: Arc::clone(&fuse) }, fuse)
    }
}

impl Hold {
    fn burn(&self) -> Result<(), Error> {
        let left = self.fuse.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        left.map(|_| ()).map_err(|_| Error::new(ErrorKind::BrokenPipe, "the process has died"))
    }
}

impl StorageBackend for Hold {
    fn len(&self) -> Result<u64, Error> {
        Ok(self.disk.0.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let (bytes, offset) = (self.disk.0.lock().unwrap(), usize::try_from(offset).unwrap());
        let there = bytes.get(offset..offset + out.len()).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(there);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.burn()?;
        self.disk.0.lock().unwrap().resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), Error> {
        self.burn()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        self.burn()?;
        let offset = usize::try_from(offset).unwrap();
        self.disk.0.lock().unwrap()[offset..offset + data.len()].copy_from_slice(data);
        Ok(())
    }
}
