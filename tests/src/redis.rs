//! A real Redis on a port of its own.

use std::{net::TcpListener, process::Stdio, time::Duration};

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
    process: Child,
}

impl Redis {
    /// Starts one that keeps everything in memory.
    pub async fn start() -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let redis = Self { url: format!("redis://127.0.0.1:{port}"), process };
        for _ in 0..1_000 {
            if answers(port).await {
                return Ok(redis);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bail!("redis-server does not answer on port {port}")
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

async fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await else { return false };
    let mut answer = [0; 7];
    stream.write_all(b"PING\r\n").await.is_ok()
        && stream.read_exact(&mut answer).await.is_ok()
        && answer == *b"+PONG\r\n"
}
