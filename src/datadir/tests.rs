// use super::*;
