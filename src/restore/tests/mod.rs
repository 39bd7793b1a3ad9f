//! Tests of the room on hand-built repositories, with a double of xtrabackup, and (`live`) with a
//! real server.

mod damage;
mod fixture;
mod live;
mod merged;
mod model;
mod planner;
mod prepared;
