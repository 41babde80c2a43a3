//! A real Redis on a port of its own, gone with the test.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
};

pub(crate) struct Server {
    pub(crate) url: String,
    process: Child,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(&["--appendonly", "no"]).await
    }

    /// With more arguments.
    pub(crate) async fn start_with(arguments: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("redis://127.0.0.1:{port}");
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]).args(arguments);
        let process = command.stdout(Stdio::null()).spawn().expect("redis-server is installed by make redis");
        let server = Self { url, process };
        for _ in 0..1_000 {
            if server.connection().await.is_ok() {
                return server;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("redis-server does not answer on port {port}");
    }

    async fn connection(&self) -> redis::RedisResult<redis::aio::MultiplexedConnection> {
        redis::Client::open(self.url.as_str())?.get_multiplexed_async_connection().await
    }

    pub(crate) async fn clear(&self) {
        let () = redis::cmd("FLUSHALL").query_async(&mut self.connection().await.unwrap()).await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
