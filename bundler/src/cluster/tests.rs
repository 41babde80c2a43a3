//! A real Redis on a port of its own, gone with the test, and processes that share it.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::{ClusterConfig, Connection};

pub(super) const CHAIN: u64 = 31_337;

pub(super) struct Server {
    url: String,
    process: Child,
}

impl Server {
    pub(super) async fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        let process = command.stdout(Stdio::null()).spawn().expect("redis-server is installed by make redis");
        let server = Self { url: format!("redis://127.0.0.1:{port}"), process };
        for _ in 0..1_000 {
            if redis::Client::open(server.url.as_str()).unwrap().get_multiplexed_async_connection().await.is_ok() {
                return server;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("redis-server does not answer on port {port}");
    }

    pub(super) fn config(&self) -> ClusterConfig {
        let lease = Duration::from_secs(60);
        ClusterConfig { url: self.url.clone(), partitions: 2, lease, replicas: 0, simulated: None }
    }

    /// Another process.
    pub(super) async fn process(&self) -> Connection {
        Connection::open(self.config(), CHAIN).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
