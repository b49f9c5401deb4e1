"""What a PAI job is: the user's ini, the payload that is submitted, its form for people."""
