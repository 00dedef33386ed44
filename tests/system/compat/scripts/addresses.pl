#!/usr/bin/perl
# Who hung up, who talked early and what they said: the table people feed to their firewalls.
use strict;
use warnings;
my (%seen, %said);

while (<>) {
	next unless m{/postscreen\[\d+\]: (.*)};
	my $text = $1;
	if ($text =~ /^PREGREET (\d+) after [\d.]+ from \[([^]]+)\]:\d+: (.*)$/) {
		$seen{$2}{PREGREET}++;
		$said{"$1 bytes: $3"}++;
	} elsif ($text =~ /^HANGUP after [\d.]+ from \[([^]]+)\]:\d+ in (.*)$/) {
		$seen{$1}{"HANGUP in $2"}++;
	} elsif ($text =~ /^([A-Z][A-Z -]+[A-Z]) from \[([^]]+)\]:\d+(?: to| after (.{0,40})|$)/) {
		$seen{$2}{$1 . (defined $3 ? " after $3" : "")}++;
	} elsif ($text =~ /^((?:PASS|ALLOW|DENY|DIS).*?) \[([^]]+)\]:\d+$/) {
		$seen{$2}{$1}++;
	}
}
for my $address (sort keys %seen) {
	print "$address ", join(', ', map { "$_ $seen{$address}{$_}" } sort keys %{$seen{$address}}), "\n";
}
print "$said{$_} times $_\n" for sort keys %said;
