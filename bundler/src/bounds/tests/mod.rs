mod charges;
mod code;
mod numbers;
mod property;
mod world;
