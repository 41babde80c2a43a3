mod charges;
mod code;
mod property;
mod world;
