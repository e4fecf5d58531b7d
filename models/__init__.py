"""The networks: nothing here reads files of a person, knows a recipe or trains."""
