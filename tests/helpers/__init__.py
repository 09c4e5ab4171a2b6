"""What more than one test module uses: Problems, a Lab's screen, processes, and how to wait."""
