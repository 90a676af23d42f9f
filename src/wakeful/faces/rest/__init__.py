"""wakeful's own API."""
