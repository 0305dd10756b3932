"""Steps of training recorded once and replayed as MXNet's cached graphs."""
