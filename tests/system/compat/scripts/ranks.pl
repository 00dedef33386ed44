#!/usr/bin/perl
# Which DNS list named whom, and what rank came of it.
use strict;
use warnings;
my (%lists, %named, %ranks, %clients);

while (<>) {
	if (m{/dnsblog\[\d+\]: addr (\S+) listed by domain (\S+) as (\S+)$}) {
		$lists{$2}{$3}++;
		push @{$named{$1}}, $2;
	} elsif (m{/postscreen\[\d+\]: DNSBL rank (\d+) for \[([^]]+)\]:\d+$}) {
		$ranks{$1}++;
		$clients{$2}{$1} = join ' ', sort @{$named{$2} || ['nobody']};
	}
}
for my $list (sort keys %lists) {
	printf "%-24s %-12s %5d\n", $list, $_, $lists{$list}{$_} for sort keys %{$lists{$list}};
}
printf "rank %-3d %5d\n", $_, $ranks{$_} for sort { $a <=> $b } keys %ranks;
for my $client (sort keys %clients) {
	print "$client rank $_ by $clients{$client}{$_}\n" for sort keys %{$clients{$client}};
}
