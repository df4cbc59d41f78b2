"""How networks run: processes, modes, memory, images and label maps in and out."""
