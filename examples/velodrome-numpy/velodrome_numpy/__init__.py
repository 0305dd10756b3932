"""A plug-in of velodrome."""
