//! A real Redis on a port of its own.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Result, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
};

/// A running server; it ends with this value.
#[derive(Debug)]
pub struct Redis {
    /// Its `redis://` URL.
    pub url: String,
    port: u16,
    /// Where it keeps what it is told, if it does.
    folder: Option<PathBuf>,
    process: Child,
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

impl Redis {
    /// Starts one that keeps everything in memory.
    pub async fn start() -> Result<Self> {
        Self::on(None).await
    }

    /// Starts one that syncs each write to a file before it answers.
    pub async fn durable() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("fabstir-redis-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder)?;
        Self::on(Some(folder)).await
    }

    async fn on(folder: Option<PathBuf>) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let process = spawn(port, folder.as_deref())?;
        let redis = Self { url: format!("redis://127.0.0.1:{port}"), port, folder, process };
        redis.ready().await?;
        Ok(redis)
    }

    async fn ready(&self) -> Result<()> {
        for _ in 0..1_000 {
            if answers(self.port).await {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bail!("redis-server does not answer on port {}", self.port)
    }

    /// Ends it as a power cut would.
    pub async fn kill(&mut self) -> Result<()> {
        Ok(self.process.kill().await?)
    }

    /// Starts it again on what it had written.
    pub async fn restart(&mut self) -> Result<()> {
        self.process = spawn(self.port, self.folder.as_deref())?;
        self.ready().await
    }

    /// What `redis-cli` says to this.
    pub async fn ask(&self, command: &[&str]) -> Result<String> {
        let output = Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(command).output().await?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// Has it stand still, or go on.
    pub async fn freeze(&self, frozen: bool) -> Result<()> {
        signal(self.process.id(), if frozen { "STOP" } else { "CONT" }).await
    }
}

/// Sends a process of ours this signal.
pub(crate) async fn signal(process: Option<u32>, name: &str) -> Result<()> {
    let Some(pid) = process else { bail!("it has ended already") };
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().await?;
    if sent.success() { Ok(()) } else { bail!("kill failed") }
}

fn spawn(port: u16, folder: Option<&Path>) -> Result<Child> {
    let mut server = Command::new("redis-server");
    server.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
    match folder {
        Some(folder) => server.args(["--appendonly", "yes", "--appendfsync", "always", "--dir"]).arg(folder),
        None => server.args(["--appendonly", "no"]),
    };
    Ok(server.stdout(Stdio::null()).kill_on_drop(true).spawn()?)
}

async fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await else { return false };
    let mut answer = [0; 7];
    stream.write_all(b"PING\r\n").await.is_ok()
        && stream.read_exact(&mut answer).await.is_ok()
        && answer == *b"+PONG\r\n"
}
