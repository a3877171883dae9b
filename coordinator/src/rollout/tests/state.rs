//! Every phase and state against every event, and what holds of every story.
